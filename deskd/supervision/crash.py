"""What a script printed on its way down: Python's traceback, the member's own line in it, and the error's last words.

Pure. Lines are a member's: any text gives an answer within bounds.

Of a group of errors (asyncio's TaskGroup raises one) the first that is none itself is the one that counts. Of errors
that came one of the other the last counts, and the first is its cause.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

TRACEBACK_MAX = 8_192  # characters; of a longer one the middle is left out
LINE_MAX = 300
_LAST_SHARE = 0.6  # of them, for the last error where others caused it
_HEADER = re.compile(
    r"^(Traceback \(most recent call last\):| {2}\+ Exception Group Traceback \(most recent call last\):)"
)
_GROUP = "Exception Group Traceback (most recent call last):"
_LINK = re.compile(
    r"^(The above exception was the direct cause of the following exception:"
    r"|During handling of the above exception, another exception occurred:)$"
)
_MARGIN = re.compile(r"^ {2,}+[|+] ?")
_SEPARATOR = re.compile(r"^ {2,}+\+(-\+)?-{10,}+(?: (?:\d+|\.\.\.) -{10,})?$")
_FATAL = re.compile(r"^Fatal Python error: ")
_ABORTED = re.compile(
    r"^Fatal Python error: Aborted$"
)  # in a jail's first process abort() ends by a fault, told after it
_FRAME = re.compile(r'^[ |+]*+File "([^"]*)", line (\d+)(?:,? in (.*))?$')
_KIND = re.compile(r"(?:[\w.]+\.)?(\w+)(?::|$)")
_NO_SOURCE = re.compile(r'^([ |+]*+File "| {2}… )')
_OWN = ("/strategy/", "/code/")  # in the jail; without one, the copy that runs
_CUT = "  …"


@dataclass(frozen=True, slots=True, kw_only=True)
class Crash:
    """What is known of the error that ended a script; every part is empty where nothing was printed of it."""

    traceback: str = ""
    source_line: str = ""
    kind: str = ""  # `KeyError`; empty where the last words are no exception's
    last_words: str = ""
    group: str = ""  # of which it was the first: `ExceptionGroup: unhandled errors in a TaskGroup (2 sub-exceptions)`
    cause: "Crash | None" = None  # the error that it all came of; it has no traceback of its own


def read_crash(errors: Sequence[str]) -> Crash:
    """Return what the last lines of standard error say."""
    if fatal := _last(errors, _ABORTED) or _last(errors, _FATAL):
        lines = errors[fatal[0] :]
        return Crash(traceback=_bounded(lines), source_line=_source_line(lines[::-1]), last_words=_cut(lines[0]))
    if _last(errors, _HEADER):
        *causes, lines = _chain(errors, _HEADER)
    elif syntax := _bare_syntax_error(errors):
        causes, lines = [], errors[syntax[0] :]
    else:
        return Crash(last_words=_last_words(errors))
    return _crash_of(lines, causes, traceback=_whole(causes, lines))


def _crash_of(lines: Sequence[str], causes: Sequence[Sequence[str]], *, traceback: str = "") -> Crash:
    """Return what one traceback says, and the first of those that it came of."""
    outer = lines
    group = ""
    if _GROUP in lines[0]:
        group = _cut(_error_line([_MARGIN.sub("", line, count=1) for line in lines]))
        *inner, lines = _chain(_first_of_group(lines), re.compile(r"^Traceback \(most recent call last\):"))
        causes = [*causes, *inner]
    is_bare = not lines or not (_HEADER.match(lines[0]) or _FRAME.match(lines[0]))  # in a group, one never raised
    error = (_last_words(lines[:1]) if is_bare else _error_line(lines)) or group or _last_words(outer)
    kind = _KIND.match(error)
    return Crash(
        traceback=traceback,
        source_line=_source_line(lines) or _source_line(outer),
        kind=kind[1] if kind else "",
        last_words=_cut(error),
        group=group,
        cause=_crash_of(causes[0], ()) if causes else None,
    )


def _chain(lines: Sequence[str], header: re.Pattern[str]) -> list[Sequence[str]]:
    """Return the last traceback, and before it those that it came of, oldest first; all that there is, without any."""
    found: list[Sequence[str]] = []
    end = len(lines)
    while (begin := _last(lines[:end], header)) is not None:
        found.insert(0, lines[begin[0] : end])
        link = next((n for n in range(begin[0] - 1, -1, -1) if lines[n].strip()), -1)
        if link < 0 or not _LINK.match(lines[link]):
            break
        end = begin[0]
    return found or [lines]


def _first_of_group(lines: Sequence[str]) -> Sequence[str]:
    """Return what was printed of the first error in a group, or in the group in it, without the margin."""
    part: list[str] = []
    is_error = False
    for line in lines:
        if _SEPARATOR.match(line):
            if is_error and not any(_GROUP in one for one in part):
                break
            part, is_error = [], True
        else:
            part.append(_MARGIN.sub("", line, count=1))
    return part if is_error else []


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
        is_source = bool(text) and lines[number + 1][:1].isspace() and not _NO_SOURCE.match(lines[number + 1])
        found = f"{place}{where}: {text}" if is_source else f"{place}{where}"
    return _cut(found)


def _last_words(lines: Sequence[str]) -> str:
    return _cut(next((line.strip() for line in reversed(lines) if line.strip()), ""))


def _cut(text: str) -> str:
    return text if len(text) <= LINE_MAX else text[:LINE_MAX] + "…"


def _whole(causes: Sequence[Sequence[str]], last: Sequence[str]) -> str:
    """Return all of it as one text, bounded; the last error has the most room."""
    if not causes:
        return _bounded(last)
    before = [line for cause in causes for line in cause]
    text = "\n".join([*before, *last]).rstrip()
    if len(text) <= TRACEBACK_MAX:
        return text
    shown = _bounded(last, int(TRACEBACK_MAX * _LAST_SHARE))
    return f"{_bounded(before, TRACEBACK_MAX - len(shown) - 1)}\n{shown}"


def _bounded(lines: Sequence[str], most: int = TRACEBACK_MAX) -> str:
    """Return the lines as one text; where it is too long, its beginning and its end."""
    text = "\n".join(lines).rstrip()
    if len(text) <= most:
        return text
    half = (most - len(_CUT) - 2) // 2
    return f"{text[:half]}\n{_CUT}\n{text[-half:]}"
