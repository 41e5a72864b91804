"""What is never shown, wherever it hides: the broker's keys, addresses of notifications, keys of the desk's own.

Rule 1: what is known is found in any text. More may become known while the program runs: nothing is ever forgotten.
Rule 2: a token of a laptop needs not be known: its form tells.
"""

import re
from collections.abc import Callable, Iterable
from urllib.parse import unquote

MASK = "***"
SECRET_LENGTH_MIN = 6  # masking shorter text would eat half of the log
# The half of NAME.mac that only the desk can make (api/tokens.py): 64 digits, or what a cut left of them.
_ISSUED = r"\.[0-9a-f]{48,64}(?![0-9a-f])"
_TOKEN_LIKE_MIN = 12  # characters of a part of an address, a digit among them: no word of a sentence
_PARTS = re.compile(r"[^\s:/?&=@#,;%+]+")
_PASSWORD = re.compile(r"://[^/@\s:]*:([^/@\s]+)@")


class Secrets:
    """The texts that are known to be secret."""

    def __init__(self, known: Iterable[str] = ()) -> None:
        self._known: set[str] = set()
        self.pattern = re.compile(_ISSUED)
        self.know(known)

    def know(self, more: Iterable[str]) -> None:
        """Hide these, too, from now on; what is too short to be one is let be."""
        self._known |= {text for text in more if len(text) >= SECRET_LENGTH_MIN}
        longest_first = sorted(self._known, key=len, reverse=True)
        self.pattern = re.compile("|".join([*map(re.escape, longest_first), _ISSUED]))

    def know_addresses(self, addresses: Iterable[str]) -> None:
        """Hide these addresses from now on, and what in them opens a door: whoever fails to send quotes parts."""
        for address in addresses:
            parts = [part for part in _PARTS.findall(address) if len(part) >= _TOKEN_LIKE_MIN]
            found = [address, *_PASSWORD.findall(address), *filter(_has_digit, parts)]
            self.know([*found, *map(unquote, found)])

    def hide(self, text: str) -> str:
        """Return the text with a mask in the place of every secret."""
        return self.pattern.sub(_mask, text)


def hiding(secrets: Iterable[str]) -> Callable[[str], str]:
    """Return what hides every one of *secrets* in a text."""
    return Secrets(secrets).hide


def _mask(found: re.Match[str]) -> str:
    return f".{MASK}" if found[0][0] == "." else MASK  # the name before a token may be read


def _has_digit(text: str) -> bool:
    return any(character.isdecimal() for character in text)
