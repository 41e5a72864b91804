"""A file named KILL, and a signal, pull the desk's kill."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from deskd.app.kill_triggers import KILL_FILE, NO_REASON, REASON_MAX, KillTriggers, reason_in
from deskd.core.deciding import handle
from deskd.core.desk import Desk
from deskd.domain import events as ev
from deskd.domain.kill import THE_DESK, KillCause, KillDepth
from tests.factories import a_desk, a_kill, a_release
from tests.runtime.a_live_desk import Wall


@dataclass
class World:
    """A desk, two folders, and what was pulled."""

    folder: Path
    depth: KillDepth = KillDepth.CANCEL
    desk: Desk = field(default_factory=a_desk)
    pulled: list[ev.KillEngaged] = field(default_factory=list)

    async def post(self, kill: ev.KillEngaged) -> None:
        self.pulled.append(kill)
        handle(self.desk, kill)

    def triggers(self) -> KillTriggers:
        folders = (self.folder / "state", self.folder / "run")
        for folder in folders:
            folder.mkdir(exist_ok=True)
        return KillTriggers(folders=folders, depth=self.depth, kills=self.desk.kills, post=self.post, wall=Wall())


@pytest.mark.parametrize("where", ["state", "run"])
async def test_a_file_named_kill_stops_the_desk_as_long_as_it_is_there(tmp_path: Path, where: str) -> None:
    """Its text is the reason; once is enough, and a release while it is there would not last."""
    world = World(tmp_path)
    triggers = world.triggers()
    await triggers.look()
    assert world.pulled == []
    file = tmp_path / where / KILL_FILE
    file.write_text("fire in the\nserver room\n")
    await triggers.look()
    await triggers.look()
    [kill] = world.pulled
    assert (kill.target, kill.cause, kill.depth) == (THE_DESK, KillCause.FILE, KillDepth.CANCEL)
    assert (kill.reason, kill.by) == ("fire in the server room", f"the file {file}")
    assert triggers.file() == file
    handle(world.desk, a_release())
    await triggers.look()
    assert len(world.pulled) == 2
    file.unlink()
    await triggers.look()
    assert THE_DESK in world.desk.kills.in_force


async def test_a_file_takes_a_shallower_kill_deeper(tmp_path: Path) -> None:
    """And leaves a deeper one alone."""
    world = World(tmp_path)
    handle(world.desk, a_kill(depth=KillDepth.REDUCE_ONLY))
    triggers = world.triggers()
    (tmp_path / "run" / KILL_FILE).touch()
    await triggers.look()
    assert world.desk.kills.in_force[THE_DESK].depth is KillDepth.CANCEL
    assert world.pulled[0].reason == NO_REASON
    handle(world.desk, a_kill(depth=KillDepth.FLATTEN))
    await triggers.on_signal("SIGUSR1")
    assert len(world.pulled) == 1


async def test_a_signal_stops_the_desk(tmp_path: Path) -> None:
    """Whoever may send it need not reach the control socket."""
    world = World(tmp_path, depth=KillDepth.FLATTEN)
    await world.triggers().on_signal("SIGUSR1")
    [kill] = world.pulled
    assert (kill.cause, kill.by, kill.depth) == (KillCause.SIGNAL, "SIGUSR1", KillDepth.FLATTEN)


def test_whatever_the_file_says_or_is_a_reason_comes_of_it(tmp_path: Path) -> None:
    """Too much, no text at all, or a folder: whoever made it meant it."""
    (tmp_path / "long").write_text("x" * 10_000)
    assert len(reason_in(tmp_path / "long")) == REASON_MAX
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    assert reason_in(tmp_path / "bytes")
    assert "cannot be read" in reason_in(tmp_path)
