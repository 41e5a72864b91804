"""Where the control socket lies."""

import socket
import stat
from pathlib import Path

import pytest

from deskd.control.listen import SOCKET_NAME, listening
from deskd.domain.errors import ConfigError


def test_everybody_may_knock_and_nothing_is_left(tmp_path: Path) -> None:
    """The folder is made, the socket's mode lets members in, and the end takes it away."""
    folder = tmp_path / "var/run"
    with listening(folder) as listener:
        assert listener.family is socket.AF_UNIX
        assert stat.S_IMODE((folder / SOCKET_NAME).stat().st_mode) == 0o666
    assert list(folder.iterdir()) == []


def test_a_file_in_the_way_is_not_removed(tmp_path: Path) -> None:
    """What is no socket is somebody's file."""
    (tmp_path / SOCKET_NAME).write_text("mine")
    with pytest.raises(ConfigError, match="is not a socket; remove it"), listening(tmp_path):
        pass
    assert (tmp_path / SOCKET_NAME).read_text() == "mine"
