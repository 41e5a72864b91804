"""The page that a run shares with the desk: what it claims of its progress, and whether its script was reached.

    bytes 0-7    lines handled        bytes 24-25  length of the last line handled
    bytes 16-23  lines read           bytes 26-    its beginning
    bytes 540-   in the same way, the line that the script is at work on, where it was given one alone
    bytes 1054-  where it was given several together: how many, and the last of them in the same way
    bytes 4092-  written by the desk before the start: the pipe by which the runner tells each wish for a line (lock-step)

What stands there is a claim: any bytes are read, within bounds, and nothing but the run's own liveness rests on them.
That the script was reached is no claim: the runner seals the page just before the script's first line, and the kernel
lets nobody take a seal back. So a member cannot make a death look like the desk's fault.
"""

import fcntl
import os
from dataclasses import dataclass

PAGE_BYTES = 4_096
LAST_LINE_MAX = 512
_LAST_LINE_AT = 24
_AT_WORK_AT = 540
_TOGETHER_AT = 1_054
_STEP_AT = 4_092
_LINES_MAX = 2**53  # a claim beyond it is none
_MFD_NOEXEC_SEAL = 0x8  # Linux 6.3
_REACHED = fcntl.F_SEAL_SEAL


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What stood in the page."""

    handled: int = 0
    read: int = 0  # out of the pipe, by the runner: a script that reads its input by its own means leaves it at 0
    last_line: str = ""
    at_work_on: str = ""
    together: int = 0  # lines that the script was given at once; 0: one alone, or none
    last_together: str = ""
    is_reached: bool = False

    @property
    def waiting(self) -> int:
        """Return how many lines the runner holds that the script has not asked for; the one at work is none."""
        return max(0, self.read - self.handled - 1)


def make_page() -> int:
    """Return a page of shared memory whose size nobody can change: reading beyond a shrunk one would kill the desk."""
    try:
        page = os.memfd_create("progress", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING | _MFD_NOEXEC_SEAL)
    except OSError:  # an older kernel
        page = os.memfd_create("progress", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(page, PAGE_BYTES)
    fcntl.fcntl(page, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW)
    return page


def ask_for_steps(page: int, step_fd: int) -> None:
    """Have the runner write a byte to *step_fd*, as the run will know it, before each line that it asks for."""
    os.pwrite(page, step_fd.to_bytes(2, "little"), _STEP_AT)


def read_page(fd: int) -> Page:
    """Return what stands in the page at the moment."""
    data = os.pread(fd, _TOGETHER_AT + 4 + LAST_LINE_MAX, 0)
    together = int.from_bytes(data[_TOGETHER_AT : _TOGETHER_AT + 2], "little")
    return Page(
        handled=_count(data[:8]),
        read=_count(data[16:24]),
        last_line=_line(data[_LAST_LINE_AT:]),
        at_work_on=_line(data[_AT_WORK_AT:]),
        together=together,
        last_together=_line(data[_TOGETHER_AT + 2 :]) if together else "",
        is_reached=bool(fcntl.fcntl(fd, fcntl.F_GET_SEALS) & _REACHED),
    )


def _line(data: bytes) -> str:
    length = min(int.from_bytes(data[:2], "little"), LAST_LINE_MAX)
    return data[2 : 2 + length].decode("utf-8", "replace")


def _count(data: bytes) -> int:
    return min(int.from_bytes(data, "little"), _LINES_MAX)
