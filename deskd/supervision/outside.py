"""What the desk sees of a jail from outside: the namespaces that its first process is in, and what the kernel thinks of it.

A jail cannot be asked: it has no /proc, and its word is a claim. The desk made the jail's user namespace, and so may look.
"""

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deskd.supervision.walls import OWN, SHARED

NAMESPACES = ("user", "mnt", "net", "pid", "ipc", "uts", "cgroup")


def seen_from_outside(pid: int) -> Mapping[str, Any]:
    """Return what is seen of that process, which must live meanwhile; what cannot be seen is not in it."""
    there = Path("/proc") / str(pid)
    found: dict[str, Any] = {}
    for kind in NAMESPACES:
        with contextlib.suppress(OSError):
            is_ours = (there / "ns" / kind).readlink() == (Path("/proc/self/ns") / kind).readlink()
            found[f"{kind}_namespace"] = SHARED if is_ours else OWN
    with contextlib.suppress(OSError):  # the kernel's table of addresses: a loopback that is up has some
        found["loopback"] = "up" if (there / "net" / "fib_trie").read_text().strip() else "down"
    with contextlib.suppress(OSError, ValueError):
        found["spared"] = int((there / "oom_score_adj").read_text())
    return found
