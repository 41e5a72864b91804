"""Runs a member's script inside the jail: `python -P -s -u -B runner.pyc PROGRESS_FD SCRIPT`.

The script must not see a difference from `python SCRIPT`: it is `__main__`, `sys.argv` and `sys.path` are its own,
its traceback starts with its own line. One thing is added: how many lines of standard input it has handled is kept in
a page of memory that the desk shares (an inherited memfd), which the desk reads when it likes. What stands there is a
claim of the run, never trusted: eight bytes of lines handled, and then a one once the script's first line is about to
run. Every import here is a millisecond of every start.
"""

from __future__ import annotations

import io
import mmap
import os
import sys

PAGE_BYTES = 4096


class CountingInput(io.FileIO):
    """Standard input. Whoever reads again has handled all lines of what was read before: no cost per line."""

    def __init__(self, page: mmap.mmap) -> None:
        super().__init__(0, "rb", closefd=False)
        self._page = page
        self._lines = 0  # in all that was read so far

    def readinto(self, buffer: memoryview, /) -> int | None:  # type: ignore[override]  # BufferedReader hands one over
        """Note that all before is handled, then read on."""
        self._page[:8] = self._lines.to_bytes(8, "little")
        count = super().readinto(buffer)
        if count:
            self._lines += bytes(buffer[:count]).count(b"\n")
        return count


def main() -> None:
    """Run the script, and end as it ends."""
    progress_fd, script = int(sys.argv[1]), sys.argv[2]
    page = mmap.mmap(progress_fd, PAGE_BYTES)
    os.close(progress_fd)
    source = io.BufferedReader(CountingInput(page), 65_536)
    sys.stdin = sys.__stdin__ = io.TextIOWrapper(source, encoding="utf-8", errors="surrogateescape")  # type: ignore[misc]
    sys.argv = [script]
    sys.path.insert(0, os.path.dirname(script))  # noqa: PTH120  pathlib costs 3 ms of start-up
    module = type(sys)("__main__")
    module.__file__ = script
    module.__dict__["__builtins__"] = __builtins__
    sys.modules["__main__"] = module
    page[8] = 1
    try:
        with io.open_code(script) as file:
            code = compile(file.read(), script, "exec", dont_inherit=True)
        exec(code, module.__dict__)  # noqa: S102  a member's code is what this process is for
    except Exception as error:  # noqa: BLE001  the last stop: print it as Python would, without our own frames
        trace = error.__traceback__
        while trace is not None and trace.tb_frame.f_code is main.__code__:
            trace = trace.tb_next
        sys.excepthook(type(error), error.with_traceback(trace), trace)
        sys.exit(1)


if __name__ == "__main__":
    main()
