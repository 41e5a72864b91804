"""Draws that repeat: the same seed, the same draws (splitmix64). State is one number, so that it can be stored."""

from datetime import datetime

_MASK = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15
_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS = tuple(a + b for a in _CROCKFORD for b in _CROCKFORD)
_SHIFTS = range(120, -1, -10)


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
        high, low = self.draw(), self.draw()
        version = (high & 0xFFF) | 0x4000
        variant = (low >> 48 & 0x3FFF) | 0x8000
        return f"{high >> 32:08x}-{high >> 16 & 0xFFFF:04x}-{version:x}-{variant:x}-{low & 0xFFFFFFFFFFFF:012x}"


def ulid(at: datetime, sequence: int) -> str:
    """Return an id that sorts by time, then by *sequence*."""
    number = (int(at.timestamp() * 1000) << 80) | sequence
    return "".join([_PAIRS[number >> shift & 1023] for shift in _SHIFTS])
