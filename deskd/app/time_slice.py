"""Short turns on a core, for the desk and all that it starts: who wakes waits for a tenth of a millisecond, not for ticks.

And before its runs: in cgroup v1 the desk would weigh as much as all of them together, and wait for half of every core.
Under its unit (v2) weights see to that (supervision/cgroup_v2.py); where the kernel lets it, it also takes a nice value
below theirs. One that was started with a nice value of its own keeps that.

Linux (6.12 and later) hands out turns of some milliseconds to all that are ready, and looks for the next one at its tick,
four milliseconds. A process may ask for shorter turns; it gets no more time by it, and its children inherit the wish.
A strategy cannot ask for longer ones: its seccomp policy refuses the call. docs/decisions/0060 and 0069 have what it brings.
"""

import ctypes
import os
import platform
import struct

SLICE_NS = 100_000
FIRST = -10  # weighs nine times as much as 0
_SCHED_SETATTR = {"x86_64": 314, "aarch64": 274}  # no name for it in the C library of Debian 12
_ATTR = struct.Struct(
    "=IIQiIQQQII"
)  # size, policy, flags, nice, priority, runtime, deadline, period, util_min, util_max


def ask_for_short_turns(*, goes_first: bool = False) -> bool:
    """Ask for this thread and for all that it will start; say whether the kernel took it. Older ones take it and do nothing.

    *goes_first*: it is to go before others, too, where that is permitted (CAP_SYS_NICE).
    """
    number = _SCHED_SETATTR.get(platform.machine())
    if number is None:
        return False
    nice = os.getpriority(os.PRIO_PROCESS, 0)
    if goes_first and nice == 0 and _ask(number, FIRST):
        return True
    return _ask(number, nice)


def _ask(number: int, nice: int) -> bool:
    wish = _ATTR.pack(_ATTR.size, os.SCHED_OTHER, 0, nice, 0, SLICE_NS, 0, 0, 0, 0)
    taken: int = ctypes.CDLL(None).syscall(number, 0, wish, 0)
    return taken == 0
