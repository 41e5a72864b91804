"""Where each key of a TOML text stands. The text is valid TOML by the time it comes here: tomllib has read it."""

from collections.abc import Callable
from dataclasses import dataclass, field

_BARE_END = frozenset(" \t\r\n=.]#")
_SCALAR_END = frozenset(",]}\r\n#")


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A position in a file, as editors count: both from 1."""

    line: int
    column: int


type KeyPath = tuple[str, ...]


def locate(text: str) -> dict[KeyPath, Place]:
    """Return the place of every key and of every table's header."""
    scanner = _Scanner(text=text)
    scanner.document()
    return {path: _place(text, at) for path, at in scanner.found.items()}


def _place(text: str, at: int) -> Place:
    start = text.rfind("\n", 0, at) + 1
    return Place(text.count("\n", 0, at) + 1, at - start + 1)


@dataclass(slots=True, kw_only=True)
class _Scanner:
    text: str
    at: int = 0
    found: dict[KeyPath, int] = field(default_factory=dict)

    def document(self) -> None:
        table: KeyPath = ()
        while self._skip_blank():
            start = self.at
            if self._peek() == "[":
                brackets = 2 if self.text.startswith("[[", start) else 1
                self.at += brackets
                table = self._key()
                self.at += brackets
                self.found.setdefault(table, start)
            else:
                self._pair(table)

    def _pair(self, table: KeyPath) -> None:
        self._skip_blank()
        start = self.at
        path = table + self._key()
        self.found.setdefault(path, start)
        self.at = self.text.index("=", self.at) + 1
        self._value(path)

    def _key(self) -> KeyPath:
        parts = []
        while True:
            self._skip_blank()
            if self._peek() in "\"'":
                quote = self.at
                self._string()
                parts.append(self.text[quote + 1 : self.at - 1])
            else:
                start = self.at
                while self._peek() not in _BARE_END:
                    self.at += 1
                parts.append(self.text[start : self.at])
            self._skip_blank()
            if self._peek() != ".":
                return tuple(parts)
            self.at += 1

    def _value(self, path: KeyPath) -> None:
        self._skip_blank()
        first = self._peek()
        if first in "\"'":
            self._string()
        elif first == "[":
            self._items("]", lambda: self._value(path))
        elif first == "{":
            self._items("}", lambda: self._pair(path))
        else:
            while self.at < len(self.text) and self.text[self.at] not in _SCALAR_END:
                self.at += 1

    def _items(self, end: str, read_one: Callable[[], None]) -> None:
        self.at += 1
        while self._skip_blank() and self._peek() != end:
            if self._peek() == ",":
                self.at += 1
            else:
                read_one()
        self.at += 1

    def _string(self) -> None:
        quote = self._peek()
        fence = quote * 3 if self.text.startswith(quote * 3, self.at) else quote
        self.at += len(fence)
        while not self.text.startswith(fence, self.at):
            self.at += 2 if quote == '"' and self._peek() == "\\" else 1
        self.at += len(fence)
        while len(fence) == 3 and self.at < len(self.text) and self._peek() == quote:
            self.at += 1  # a long string may end with up to two quotes of its own

    def _skip_blank(self) -> bool:
        while self.at < len(self.text):
            if self.text[self.at] == "#":
                end = self.text.find("\n", self.at)
                self.at = len(self.text) if end < 0 else end
            elif self.text[self.at].isspace():
                self.at += 1
            else:
                return True
        return False

    def _peek(self) -> str:
        return self.text[self.at]
