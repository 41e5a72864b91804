"""What a script printed on its way down: Python's traceback, the member's own line in it, and the error's last words.

Pure. Lines are a member's: any text gives an answer within bounds.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

TRACEBACK_MAX = 8_192  # characters; of a longer one the middle is left out
LINE_MAX = 300
_HEADER = re.compile(
    r"^(Traceback \(most recent call last\):| {2}\+ Exception Group Traceback \(most recent call last\):)"
)
_FATAL = re.compile(r"^Fatal Python error: ")
_FRAME = re.compile(r'^[ |+]*File "([^"]*)", line (\d+)(?:,? in (.*))?$')
_OWN = ("/strategy/", "/code/")  # in the jail; without one, the copy that runs
_CUT = "  …"


@dataclass(frozen=True, slots=True, kw_only=True)
class Crash:
    """What is known of the error that ended a script; every part is empty where nothing was printed of it."""

    traceback: str = ""
    source_line: str = ""
    kind: str = ""  # `KeyError`; empty where the last words are no exception's
    last_words: str = ""


def read_crash(errors: Sequence[str]) -> Crash:
    """Return what the last lines of standard error say."""
    words = _last_words(errors)
    if fatal := _last(errors, _FATAL):
        lines = errors[fatal[0] :]
        return Crash(traceback=_bounded(lines), source_line=_source_line(lines[::-1]), last_words=_cut(lines[0]))
    if header := _last(errors, _HEADER):
        lines = errors[header[0] :]
    elif syntax := _bare_syntax_error(errors):
        lines = errors[syntax[0] :]
    else:
        return Crash(last_words=words)
    error = _error_line(lines) or words
    kind = re.match(r"(?:[\w.]+\.)?(\w+)(?::|$)", error)
    return Crash(
        traceback=_bounded(lines),
        source_line=_source_line(lines),
        kind=kind[1] if kind else "",
        last_words=_cut(error),
    )


def _last(lines: Sequence[str], pattern: re.Pattern[str]) -> tuple[int] | None:
    """Return the number of the last line that begins so; a tuple, for 0 is a number too."""
    return next(((number,) for number in range(len(lines) - 1, -1, -1) if pattern.match(lines[number])), None)


def _bare_syntax_error(lines: Sequence[str]) -> tuple[int] | None:
    """Return where a syntax error in the script itself begins: Python prints no header above it."""
    if not lines or not re.match(r"(SyntaxError|IndentationError|TabError)\b", _last_words(lines)):
        return None
    return _last(lines, _FRAME)


def _error_line(lines: Sequence[str]) -> str:
    """Return the first line after the frames: the exception's name and message."""
    for line in lines[1:]:
        if line and not line[0].isspace():
            return line.strip()
    return ""


def _source_line(lines: Sequence[str]) -> str:
    """Return the innermost line of the member's own that the traceback goes through."""
    found = ""
    for number, line in enumerate(lines):
        frame = _FRAME.match(line)
        if frame is None or not any(own in frame[1] for own in _OWN):
            continue
        place = f"{frame[1].rsplit('/', 1)[-1]}:{frame[2]}"
        where = "" if frame[3] in {None, "<module>"} else f" in {frame[3]}"
        text = lines[number + 1].strip(" |") if number + 1 < len(lines) else ""
        is_source = bool(text) and not _FRAME.match(lines[number + 1]) and lines[number + 1][:1].isspace()
        found = f"{place}{where}: {text}" if is_source else f"{place}{where}"
    return _cut(found)


def _last_words(lines: Sequence[str]) -> str:
    return _cut(next((line.strip() for line in reversed(lines) if line.strip()), ""))


def _cut(text: str) -> str:
    return text if len(text) <= LINE_MAX else text[:LINE_MAX] + "…"


def _bounded(lines: Sequence[str]) -> str:
    """Return the lines as one text; where it is too long, its beginning and its end."""
    text = "\n".join(lines).rstrip()
    if len(text) <= TRACEBACK_MAX:
        return text
    half = (TRACEBACK_MAX - len(_CUT) - 2) // 2
    return f"{text[:half]}\n{_CUT}\n{text[-half:]}"
