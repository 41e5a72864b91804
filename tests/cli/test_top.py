"""`deskctl top`: once for a pipe, again and again in a terminal, and the terminal is left as it was."""

import asyncio
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from structlog.testing import capture_logs

from deskd.cli.client import DeskNotReachable
from deskd.cli.deskctl import cli
from deskd.cli.top import watch
from tests.control.a_running_desk import a_running_desk
from tests.hang import HANG_S

RUN = "from deskd.cli.deskctl import main; main()"


async def test_in_a_pipe_it_is_shown_once(tmp_path: Path) -> None:
    """Strategies with their stage, and the latest orders; no escape reaches a file."""
    async with a_running_desk(tmp_path) as desk:
        with capture_logs():
            shown = await asyncio.to_thread(CliRunner().invoke, cli, ["--config", str(desk.config), "top"])
    assert shown.exit_code == 0
    assert "1 of 3 strategies running" in shown.output
    assert "alice" in shown.output
    assert "denied" in shown.output
    assert "\x1b" not in shown.output


async def test_a_terminal_gets_its_own_screen_back(tmp_path: Path) -> None:
    """It draws, and Ctrl-C ends it with the first screen and the cursor there."""
    async with a_running_desk(tmp_path) as desk:
        ours, theirs = pty.openpty()
        command = [sys.executable, "-c", RUN, "--config", str(desk.config), "top", "--every", "0.2"]
        process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs)  # noqa: ASYNC220  short
        os.close(theirs)
        drawn = b""
        async with asyncio.timeout(HANG_S):
            while drawn.count(b"\x1b[H\x1b[2J") < 3:
                drawn += await asyncio.to_thread(os.read, ours, 65_536)
        process.send_signal(signal.SIGINT)
        try:
            while chunk := await asyncio.to_thread(os.read, ours, 65_536):
                drawn += chunk
        except OSError:  # the other end of a terminal is gone
            pass
        assert await asyncio.to_thread(process.wait, 30) == 0
        os.close(ours)
    assert drawn.startswith(b"\x1b[?1049h")
    assert drawn.endswith(b"\x1b[?25h\x1b[?1049l")
    assert b"alice" in drawn


def test_a_desk_that_restarts_is_waited_for(capsys: pytest.CaptureFixture[str]) -> None:
    """The reason stands on the screen meanwhile."""
    waited: list[float] = []

    def draw() -> None:
        if not waited:
            raise DeskNotReachable("no desk is reachable")
        print("here it is")

    def wait(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        watch(draw, wait, 1.0)
    shown = capsys.readouterr().out
    assert shown.index("no desk is reachable") < shown.index("here it is")
