"""How words of others are shown: members', the broker's, whoever writes into the desk's logs and pages.

Text from outside may hold what a terminal obeys (ANSI and C1 controls), what turns the direction of reading or cannot be
seen at all, line ends that fake a line, and halves of characters that cannot be written. All of it is escaped here and
nowhere else, wherever people read. Programs get it unchanged: in JSON, by JSON's own escapes.
"""

import re

_STEERING = (
    r"\x00-\x08\x0b-\x1f\x7f-\x9f"  # C0 but tab and line feed, DEL, C1
    r"\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"  # directions, separators, the invisible
    r"\ud800-\udfff\U000e0000-\U000e007f"  # halves, tags
)
STEERING = re.compile(f"[{_STEERING}]")


def printable(text: str) -> str:
    r"""Return *text* with control, direction and broken characters as \xNN; tabs and line ends stay."""
    return STEERING.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def one_line(text: str) -> str:
    r"""Return *text* printable and on one line: line ends become \n, tabs \t."""
    if text.isascii() and text.isprintable():
        return text
    return printable(text).replace("\n", "\\n").replace("\t", "\\t")


def in_json(text: str) -> str:
    r"""Return JSON *text* that reads the same and steers nothing: what is left in its strings becomes \uNNNN."""
    return STEERING.sub(_json_escape, text)


def _json_escape(match: re.Match[str]) -> str:
    units = match[0].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2))
