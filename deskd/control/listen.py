"""Where the control socket lies, and how it comes to be there."""

import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deskd.domain.errors import ConfigError

SOCKET_NAME = "control.sock"


@contextmanager
def listening(runtime_dir: Path) -> Iterator[socket.socket]:
    """Give a listening socket at RUNTIME_DIR/control.sock, and take it away at the end."""
    runtime_dir.mkdir(parents=True, exist_ok=True)
    path = runtime_dir / SOCKET_NAME
    folder = os.open(runtime_dir, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    short = f"/proc/self/fd/{folder}/{SOCKET_NAME}"  # a socket's address has 107 bytes, a folder's path often more
    try:
        _make_room(path, short)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as listener:
            listener.bind(short)
            path.chmod(0o666)  # everybody may knock: the uid decides what they may
            try:
                yield listener
            finally:
                path.unlink(missing_ok=True)
    finally:
        os.close(folder)


def _make_room(path: Path, short: str) -> None:
    """Remove the socket that a killed desk left behind; refuse to take the place of a living one."""
    if not path.exists(follow_symlinks=False):
        return
    if not stat.S_ISSOCK(path.lstat().st_mode):
        raise ConfigError(f"{path}: is not a socket; remove it, or set another desk.runtime_dir")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(short)
        except OSError:
            path.unlink()
        else:
            raise ConfigError(f"{path}: a desk is running already; stop it, or set another desk.runtime_dir")
