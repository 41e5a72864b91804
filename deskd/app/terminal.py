"""Tells a terminal that was closed from somebody who asks for a reload: both come as SIGHUP.

A process without a terminal, or whose terminal is there yet, was sent the signal by somebody: systemd, an officer, a
script. The kernel takes the terminal away from a process before it tells it so.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, field

LOOK_AGAIN_S = 1.0  # a shell that dies hands the signal on before the terminal is taken away


def _is_open() -> bool:
    """Tell whether this process has a terminal that is there."""
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return False
    os.close(terminal)
    return True


@dataclass(frozen=True, slots=True)
class Terminal:
    """The terminal that the desk was started in, if it was."""

    is_open: Callable[[], bool] = _is_open
    had_one: bool = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "had_one", self.is_open())

    @property
    def is_gone(self) -> bool:
        """Tell whether there was one, and is none any more."""
        return self.had_one and not self.is_open()
