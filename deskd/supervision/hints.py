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
_ERRNO_11 = re.compile(r"Resource temporarily unavailable|\[Errno 11\]")
_NO_THREAD = re.compile(r"can't start new thread|pthread_create failed")
_STARTS = re.compile(r"fork|spawn|start_new_thread")
_READ_ONLY_DATABASE = re.compile(r"unable to open database file|attempt to write a readonly database")
_FOREIGN_FILE = re.compile(r"No such file or directory: '(/(?!strategy/|state/|tmp/)[^']*)'$")
_READ_ONLY = "in a jail only /tmp and /state can be written"
_NO_NETWORK = "a jail has no network: market data comes on standard input, orders go through desk_client"
_NOT_ALLOWED = "jails forbid that call (network, other processes, namespaces, kernel keys and the like)"
_NO_PRICE = "lines of the types order, status and gap have no price: look at the line's type first"
_WOULD_WAIT = (
    "what it read had nothing to give at the moment, or what it wrote to had no room, and it was set not to wait "
    "(non-blocking): wait for it with select, or let it block"
)
_BY_KIND = {
    "gaierror": _NO_NETWORK,
    "RecursionError": "a function calls itself without an end",
    "DeskUnavailable": "the desk did not answer on the order socket: catch DeskUnavailable and try again later",
    "EOFError": "its input has an end, at the latest when the desk stops it: read with `for line in sys.stdin`, or catch EOFError",
}


def hint(crash: Crash, section: SandboxSection, packages: Mapping[str, str]) -> str:
    """Return what to do about it; empty where there is nothing to say."""
    words = crash.last_words
    if crash.kind in {"ModuleNotFoundError", "ImportError"} and (missing := _NO_MODULE.search(words)):
        remedy = remedy_for(missing[1], packages)
        return f"{remedy}; a file of your own lies beside strategy.py" if remedy else ""
    if (number := _ERRNO.search(words)) and (text := _of_errno(int(number[1]), crash, section)):
        return text
    if crash.kind == "KeyError":
        return _NO_PRICE if words.endswith("'price'") else ""
    if crash.kind == "OperationalError":
        return _READ_ONLY if _READ_ONLY_DATABASE.search(words) else ""
    if crash.kind == "RuntimeError":
        return _too_many(section) if words.endswith("can't start new thread") else ""
    return _BY_KIND.get(crash.kind, "")


def is_refused_process(words: str, traceback: str) -> bool:
    """Say whether an error tells of a process or thread that could not be started, and not of a read that would wait."""
    return bool(_NO_THREAD.search(words)) or bool(
        _ERRNO_11.search(words) and (not traceback or _STARTS.search(traceback))
    )


def _too_many(section: SandboxSection) -> str:
    return f"a run may have {section.pids} processes and threads, and each thread takes memory for its stack"


def _of_errno(number: int, crash: Crash, section: SandboxSection) -> str:
    match number:
        case 2:
            return _of_no_file(crash)
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
            return _too_many(section) if is_refused_process(crash.last_words, crash.traceback) else _WOULD_WAIT
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


def _of_no_file(crash: Crash) -> str:
    """Return what a jail has in place of what was looked for; nothing about a file that the member forgot."""
    if "multiprocessing" in crash.traceback and "SemLock" in crash.traceback:
        return "multiprocessing needs /dev/shm, which jails have not: use threads, or subprocess with sys.executable"
    if "subprocess.py" in crash.traceback:
        return "there is no shell and no program in a jail but Python (sys.executable)"
    if _FOREIGN_FILE.search(crash.last_words):
        return "of the machine's files a jail has none: put it beside strategy.py and open it by its name alone"
    return ""
