"""The officers' door: a Unix socket that `deskctl` speaks with. Who calls is told by the kernel."""

from deskd.control.server import Control

__all__ = ["Control"]
