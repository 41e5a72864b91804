"""How far a strategy was brought into use: the same process, and what becomes of its orders."""

from enum import StrEnum


class Stage(StrEnum):
    """What becomes of a strategy's new orders. Cancels pass in each, and the desk's own exits go on."""

    PAUSED = "paused"  # it runs and gets its data; no order is taken
    SHADOW = "shadow"  # orders are judged and recorded, and never sent
    ACTIVE = "active"  # orders are judged, recorded and sent

    def is_looser_than(self, other: "Stage") -> bool:
        """Tell whether more of its orders get through than in *other*."""
        return _ORDER.index(self) > _ORDER.index(other)


_ORDER = tuple(Stage)
