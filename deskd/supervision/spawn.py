"""Makes a process without holding anybody else up: the C library's posix_spawn, and what is known of the child.

`subprocess` waits for its child's exec with the interpreter's lock held: every other thread, the loop among them, stands
still until the child got a core. posix_spawn through ctypes waits without the lock: the thread that asks stands still alone.

Rule 1: nobody else reaps our children. Each is one `Child`, used by one thread at a time.
Rule 2: a child gets the descriptors that it is given, and no other: all that Python opens is closed at an exec.
"""

import ctypes
import os
import select
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_SETSIGDEF, _SETSIGMASK, _SETSID = 0x04, 0x08, 0x80  # the same in glibc and musl
_OPAQUE_BYTES = 512  # more than any of their structures: glibc's largest has 336
_IGNORED_BY_PYTHON = (signal.SIGPIPE, signal.SIGXFSZ)

_LIBC = ctypes.CDLL(None)


@dataclass(slots=True)
class Child:
    """A process that we started, and its status once it was asked for after its end; negative for a signal."""

    pid: int
    returncode: int | None = None

    def poll(self) -> int | None:
        """Return the status; None while it lives. Never blocks."""
        return self._reap(os.WNOHANG)

    def wait(self, timeout_s: float | None = None) -> int:
        """Return the status once it has ended; raise TimeoutError where it does not in time."""
        if timeout_s is not None:
            self._until_over(timeout_s)
        status = self._reap(0)
        assert status is not None, "the kernel returns from a wait when the child is over"
        return status

    def kill(self) -> None:
        """Kill it, if it lives: its number is nobody else's before its status was asked for."""
        if self.poll() is None:
            os.kill(self.pid, signal.SIGKILL)

    def _reap(self, options: int) -> int | None:
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, options)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def _until_over(self, timeout_s: float) -> None:
        if self.poll() is not None:
            return
        descriptor = os.pidfd_open(self.pid)
        try:
            waiting = select.poll()
            waiting.register(descriptor, select.POLLIN)
            if not waiting.poll(timeout_s * 1000):
                raise TimeoutError(f"process {self.pid} did not end within {timeout_s:g} s")
        finally:
            os.close(descriptor)


def spawn(
    command: Sequence[str],
    *,
    env: Mapping[str, str],
    cwd: Path,
    standard: tuple[int, int, int],
    keeps: Sequence[int] = (),
) -> Child:
    """Start the program at the path *command*[0] in a session of its own; return when it is that program.

    *standard* becomes its input, output and errors; it keeps *keeps* under their numbers. Raise OSError where it cannot be.
    """
    attributes, actions = (ctypes.create_string_buffer(_OPAQUE_BYTES) for _ in range(2))
    pid = ctypes.c_int()
    _ask("posix_spawnattr_init", attributes)
    try:
        _ask("posix_spawn_file_actions_init", actions)
        try:
            _as_a_fresh_process(attributes)
            for number, descriptor in enumerate(standard):
                _ask("posix_spawn_file_actions_adddup2", actions, descriptor, number)
            for descriptor in keeps:  # onto itself: it stays open at the exec, in the child alone
                _ask("posix_spawn_file_actions_adddup2", actions, descriptor, descriptor)
            _ask("posix_spawn_file_actions_addchdir_np", actions, os.fsencode(cwd))
            arguments = _strings(command)
            variables = _strings([f"{name}={value}" for name, value in env.items()])
            _ask(
                "posix_spawn",
                ctypes.byref(pid),
                arguments[0],
                actions,
                attributes,
                arguments,
                variables,
                about=command[0],
            )
        finally:
            _ask("posix_spawn_file_actions_destroy", actions)
    finally:
        _ask("posix_spawnattr_destroy", attributes)
    return Child(pid.value)


def _as_a_fresh_process(attributes: "ctypes.Array[ctypes.c_char]") -> None:
    """Have it lead a session, with no signal held back and none ignored that the interpreter ignores for itself."""
    signals = ctypes.create_string_buffer(_OPAQUE_BYTES)
    _LIBC.sigemptyset(signals)
    _ask("posix_spawnattr_setsigmask", attributes, signals)
    for number in _IGNORED_BY_PYTHON:
        _LIBC.sigaddset(signals, int(number))
    _ask("posix_spawnattr_setsigdefault", attributes, signals)
    _ask("posix_spawnattr_setflags", attributes, ctypes.c_short(_SETSIGDEF | _SETSIGMASK | _SETSID))


def _strings(texts: Sequence[str]) -> "ctypes.Array[ctypes.c_char_p]":
    return (ctypes.c_char_p * (len(texts) + 1))(*map(os.fsencode, texts), None)


def _ask(name: str, *arguments: object, about: str | None = None) -> None:
    """Call a function of the C library that returns what went wrong, and raise that."""
    function: Callable[..., int] = getattr(_LIBC, name)
    if problem := function(*arguments):
        raise OSError(problem, os.strerror(problem), about or name)
