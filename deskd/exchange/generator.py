"""Draws that repeat: the same seed, the same draws (splitmix64). State is one number, so that it can be stored."""

from datetime import datetime

_MASK = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15
_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


class Generator:
    """An endless row of 64-bit draws."""

    __slots__ = ("state",)

    def __init__(self, seed: int) -> None:
        self.state = seed & _MASK

    def draw(self) -> int:
        """Return the next draw, 0 to 2**64 - 1."""
        self.state = z = (self.state + _GOLDEN) & _MASK
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
        return z ^ (z >> 31)

    def happens(self, percent: int) -> bool:
        """Return True in *percent* of a hundred draws."""
        return self.draw() % 100 < percent

    def between(self, low: int, high: int) -> int:
        """Return a number from *low* to *high*, both included."""
        return low + self.draw() % (high - low + 1)

    def uuid(self) -> str:
        """Return the next id, in the shape of a random UUID (version 4)."""
        text = f"{self.draw():016x}{self.draw():016x}"
        variant = "89ab"[int(text[16], 16) & 3]
        return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-{variant}{text[17:20]}-{text[20:]}"


def ulid(at: datetime, sequence: int) -> str:
    """Return an id that sorts by time, then by *sequence*."""
    milliseconds = int(at.timestamp() * 1000)
    number = (milliseconds << 80) | sequence
    return "".join(_CROCKFORD[(number >> shift) & 31] for shift in range(125, -1, -5))
