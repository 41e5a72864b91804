"""What a student can do about an error that the jail has a part in: one sentence by the error's kind and words.

Pure. Where nothing fits there is no hint: a bug of the script's own needs its line, not our guess.
"""

import re
from collections.abc import Mapping

from deskd.config import SandboxSection
from deskd.supervision.crash import Crash
from deskd.supervision.environment import remedy_for

_NO_MODULE = re.compile(r"No module named '([^'.]+)")
_ERRNO = re.compile(r"\[Errno (\d+)\]")
_READ_ONLY = "in a jail only /tmp and /state can be written"
_NO_NETWORK = "a jail has no network: market data comes on standard input, orders go through desk_client"
_NOT_ALLOWED = "jails forbid that call (network, other processes, namespaces, kernel keys and the like)"


def hint(crash: Crash, section: SandboxSection, packages: Mapping[str, str]) -> str:
    """Return what to do about it; empty where there is nothing to say."""
    words = crash.last_words
    if crash.kind in {"ModuleNotFoundError", "ImportError"} and (missing := _NO_MODULE.search(words)):
        return remedy_for(missing[1], packages) or ""
    if (number := _ERRNO.search(words)) and (text := _of_errno(int(number[1]), section)):
        return text
    if crash.kind == "gaierror":
        return _NO_NETWORK
    if crash.kind == "KeyError" and words.endswith("'price'"):
        return "lines of the types order, status and gap have no price: look at the line's type first"
    if crash.kind == "RecursionError":
        return "a function calls itself without an end"
    if crash.kind == "DeskUnavailable":
        return "the desk did not answer on the order socket: catch DeskUnavailable and try again later"
    return ""


def _of_errno(number: int, section: SandboxSection) -> str:
    match number:
        case 28 | 122:
            return (
                f"there is room for {section.tmp_mb} MiB in /tmp and {section.state_mb} MiB in /state: remove what you do "
                "not need, or ask an officer for more"
            )
        case 27:
            return f"one file may have {max(section.tmp_mb, section.state_mb)} MiB"
        case 24 | 23:
            return f"a process may have {section.open_files} files open: close what you do not need"
        case 11:
            return f"a run may have {section.pids} processes and threads"
        case 12:
            return f"a run may have {section.memory_mb} MiB of memory, files in /tmp included"
        case 30 | 13:
            return _READ_ONLY
        case 97 | 101 | -2 | -3:
            return _NO_NETWORK
        case 1 | 38:
            return _NOT_ALLOWED
        case _:
            return ""
