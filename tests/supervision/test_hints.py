"""What a student can do about an error that the jail has a part in."""

import pytest

from deskd.config import SandboxSection
from deskd.supervision.crash import Crash
from deskd.supervision.hints import hint


@pytest.mark.parametrize(
    ("kind", "words", "says"),
    [
        (
            "ModuleNotFoundError",
            "ModuleNotFoundError: No module named 'numpie.core'",
            "numpie is not among this desk's packages (numpy 2.5.5, pandas 3.0)",
        ),
        ("OSError", "OSError: [Errno 28] No space left on device", "64 MiB in /tmp and 64 MiB in /state"),
        ("OSError", "OSError: [Errno 27] File too large", "one file may have 64 MiB"),
        ("OSError", "OSError: [Errno 24] Too many open files", "256 files open"),
        ("OSError", "OSError: [Errno 12] Cannot allocate memory", "512 MiB of memory"),
        ("BlockingIOError", "BlockingIOError: [Errno 11] Resource temporarily unavailable", "64 processes"),
        ("RuntimeError", "RuntimeError: can't start new thread", "64 processes and threads"),
        (
            "FileNotFoundError",
            "FileNotFoundError: [Errno 2] No such file or directory: '/home/a/x'",
            "beside strategy.py",
        ),
        ("OperationalError", "sqlite3.OperationalError: unable to open database file", "only /tmp and /state"),
        ("EOFError", "EOFError: EOF when reading a line", "for line in sys.stdin"),
        ("OSError", "OSError: [Errno 30] Read-only file system: 'x'", "only /tmp and /state"),
        ("OSError", "OSError: [Errno 97] Address family not supported by protocol", "no network"),
        ("PermissionError", "PermissionError: [Errno 1] Operation not permitted", "jails forbid that call"),
        ("gaierror", "socket.gaierror: Name or service not known", "no network"),
        ("KeyError", "KeyError: 'price'", "have no price"),
        ("RecursionError", "RecursionError: maximum recursion depth exceeded", "without an end"),
        ("DeskUnavailable", "DeskUnavailable: no answer", "try again later"),
    ],
)
def test_an_error_of_the_jails_has_a_remedy(kind: str, words: str, says: str) -> None:
    """The bound has its figure, and what to do stands beside it."""
    assert says in hint(Crash(kind=kind, last_words=words), SandboxSection(), {"numpy": "2.5.5", "pandas": "3.0"})


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("ZeroDivisionError", "ZeroDivisionError: division by zero"),
        ("KeyError", "KeyError: 'x'"),
        ("ImportError", "ImportError: cannot import name 'x' from 'y'"),
        ("OSError", "OSError: [Errno 2] No such file or directory: 'x'"),
        ("FileNotFoundError", "FileNotFoundError: [Errno 2] No such file or directory: '/strategy/x'"),
        ("RuntimeError", "RuntimeError: dictionary changed size during iteration"),
        ("OperationalError", "sqlite3.OperationalError: no such table: x"),
        ("", ""),
    ],
)
def test_a_bug_of_the_scripts_own_gets_no_guess(kind: str, words: str) -> None:
    """Their line tells more than we could."""
    assert hint(Crash(kind=kind, last_words=words), SandboxSection(), {}) == ""


@pytest.mark.parametrize(
    ("words", "through", "says"),
    [
        ("BlockingIOError: [Errno 11] x", "os.fork()", "64 processes"),
        ("BlockingIOError: [Errno 11] x", "os.read(reader, 1)", "wait for it with select"),
        ("FileNotFoundError: [Errno 2] x", "multiprocessing/synchronize.py SemLock", "/dev/shm"),
        ("FileNotFoundError: [Errno 2] x: 'ls'", "subprocess.py", "no shell and no program in a jail but Python"),
    ],
)
def test_one_error_of_two_causes_is_told_by_where_it_came_up(words: str, through: str, says: str) -> None:
    """EAGAIN is a process that was refused, or a read that would wait; what is not there is a file, or a program."""
    kind = words.partition(":")[0]
    assert says in hint(Crash(kind=kind, last_words=words, traceback=through), SandboxSection(), {})


def test_a_part_of_the_standard_library_is_no_package() -> None:
    """Nobody can build what a jail has not: a line on packages would lead astray."""
    crash = Crash(kind="ModuleNotFoundError", last_words="ModuleNotFoundError: No module named 'tkinter'")
    assert hint(crash, SandboxSection(), {}) == ""
