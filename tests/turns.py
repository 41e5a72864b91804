"""Who runs what, and when, where tests run in several processes.

pytest-xdist's own groups are not heard with pytest 9.2 (they are written where it no longer looks), so who belongs
together stands here.
"""

from pathlib import PurePosixPath

from xdist.scheduler import LoadScopeScheduling

# What is lived or made once for all of them is so in one process only.
TOGETHER = {
    "tests/testbed": "the bed",  # one boot tells all; two at once would have too little of two processors
    "tests/jail/test_attacks.py": "attacks",
}
# Whose tests take seconds to minutes each: what is longest in one piece comes first, so that at the end all have work.
LONG_ROOMS = ("testbed", "whole", "chaos", "soak", "jail")


def turn_of(nodeid: str) -> str:
    """Return the piece of work that the test is part of: most are one by themselves."""
    path = PurePosixPath(nodeid.partition("::")[0])
    return next((TOGETHER[str(at)] for at in (path, *path.parents) if str(at) in TOGETHER), nodeid)


class Turns(LoadScopeScheduling):  # type: ignore[misc]  # it has no types
    """Deals out pieces of work, the next to whoever is free."""

    def _split_scope(self, nodeid: str) -> str:
        return turn_of(nodeid)
