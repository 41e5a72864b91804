"""The desk's hold on a run's /state: taken when it comes, saved while the run lives, let go when it is over."""

import asyncio
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from deskd.config import SandboxSection
from deskd.domain.ids import StrategyId
from deskd.supervision.state import Bounds, StateError, Use, kept, save
from deskd.supervision.state_keeper import StateKeeper, bounds_of, check_fits
from deskd.supervision.uids import Identity
from tests.hang import HANG_S
from tests.small_disk import small_disk

__all__ = ["small_disk"]

SELF = Identity(os.geteuid(), os.getegid(), True)


@pytest.fixture
def runner() -> Iterator[socket.socket]:
    """Return the runner's end of the channel."""
    ours, theirs = socket.socketpair()
    _ENDS[theirs] = ours.detach()
    yield theirs
    theirs.close()


_ENDS: dict[socket.socket, int] = {}


def a_keeper(tmp_path: Path, runner: socket.socket, **sandbox: object) -> StateKeeper:
    return StateKeeper(
        strategy_id=StrategyId("alice"),
        file=tmp_path / "alice.kept",
        who=SELF,
        section=SandboxSection.model_validate({"state_save_s": 0.01} | sandbox),
        channel=_ENDS.pop(runner),
        turns=asyncio.Semaphore(1),
    )


def give_hold(runner: socket.socket, tree: Path) -> None:
    """Do as the runner does before the script begins."""
    folder = os.open(tree, os.O_RDONLY | os.O_DIRECTORY)
    socket.send_fds(runner, [b"s"], [folder])
    os.close(folder)


def a_tree(disk: Path) -> Path:
    """Return what stands for /state: a folder on a small tmpfs."""
    tree = disk / "tree"
    tree.mkdir()
    return tree


async def test_a_living_run_is_saved_when_it_has_changed_something(
    tmp_path: Path, small_disk: Path, runner: socket.socket
) -> None:
    """Nobody has to end, or ask, for what is in /state to be on disk."""
    keeper, tree, notes = a_keeper(tmp_path, runner), a_tree(small_disk), list[str]()
    async with asyncio.TaskGroup() as tasks, asyncio.timeout(HANG_S):
        keeping = tasks.create_task(keeper.keep(notes.append), name="keep")
        assert keeper.use() is None
        give_hold(runner, tree)
        (tree / "a").write_bytes(b"one")
        while kept(keeper.file) is None:  # noqa: ASYNC110  a file tells nobody
            await asyncio.sleep(0.01)
        assert keeper.use() is not None
        keeping.cancel()
    (tree / "b").write_bytes(b"two")
    await keeper.finish(notes.append)
    assert kept(keeper.file) == Use(bytes=2 * 4_096, files=2)
    assert keeper.use() is None
    assert notes == []


async def test_a_run_of_a_moment_is_saved(tmp_path: Path, small_disk: Path, runner: socket.socket) -> None:
    """A hold that nobody took while the run lived is taken when it is over."""
    keeper, tree = a_keeper(tmp_path, runner), a_tree(small_disk)
    (tree / "a").write_bytes(b"one")
    give_hold(runner, tree)
    await keeper.finish(print)
    assert kept(keeper.file) == Use(bytes=4_096, files=1)


async def test_a_jail_that_did_not_come_up_keeps_nothing_open(
    tmp_path: Path, small_disk: Path, runner: socket.socket
) -> None:
    """No hold, no save, no descriptor; and it may end twice."""
    keeper = a_keeper(tmp_path, runner)
    channel = keeper.channel
    async with asyncio.timeout(HANG_S), asyncio.TaskGroup() as tasks:
        tasks.create_task(keeper.keep(print), name="keep")
        runner.shutdown(socket.SHUT_RDWR)
    await keeper.finish(print)
    await keeper.finish(print)
    keeper.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(channel)
    assert not keeper.file.exists()


async def test_what_was_kept_is_offered_to_the_runner(tmp_path: Path, small_disk: Path, runner: socket.socket) -> None:
    """It finds the file, open and read-only, when it comes up; where nothing was kept it finds nothing."""
    keeper, tree = a_keeper(tmp_path, runner), a_tree(small_disk)
    keeper.offer()
    runner.setblocking(False)
    with pytest.raises(BlockingIOError):
        runner.recv(1)
    (tree / "a").write_bytes(b"one")
    give_hold(runner, tree)
    await keeper.finish(print)
    ours, theirs = socket.socketpair()
    with theirs:
        keeper.channel = ours.detach()
        keeper.offer()
        _, [file], *_ = socket.recv_fds(theirs, 1, 1)
        assert os.read(file, 13) == b"deskd state 1"
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.write(file, b"x")
        os.close(file)
        keeper.close()


async def test_a_save_that_fails_is_told_to_member_and_officer(
    tmp_path: Path, small_disk: Path, runner: socket.socket
) -> None:
    """The strategy's log says what is not kept and why, and the run goes on."""
    keeper, tree, notes = a_keeper(tmp_path, runner, state_files=2), a_tree(small_disk), list[str]()
    for number in range(3):
        (tree / f"{number}").touch()
    give_hold(runner, tree)
    await keeper.finish(notes.append)
    assert notes[-1:] == ["the desk could not save /state: has more than 2 files and folders"]


async def test_a_disk_that_is_away_is_told(tmp_path: Path, small_disk: Path, runner: socket.socket) -> None:
    """As is a folder of the desk's that has gone."""
    keeper, tree, notes = a_keeper(tmp_path, runner), a_tree(small_disk), list[str]()
    keeper.file = tmp_path / "gone" / "alice.kept"
    (tree / "a").touch()
    give_hold(runner, tree)
    await keeper.finish(notes.append)
    assert notes == [
        f"the desk could not save /state: No such file or directory: look at the disk that holds {tmp_path}/gone"
    ]


async def test_what_cannot_be_kept_is_said_once(tmp_path: Path, small_disk: Path, runner: socket.socket) -> None:
    """A pipe in /state is named in the strategy's log, not at every save."""
    keeper, tree, notes = a_keeper(tmp_path, runner), a_tree(small_disk), list[str]()
    os.mkfifo(tree / "pipe")
    async with asyncio.TaskGroup() as tasks, asyncio.timeout(HANG_S):
        keeping = tasks.create_task(keeper.keep(notes.append), name="keep")
        give_hold(runner, tree)
        while not notes:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        keeping.cancel()
    (tree / "more").touch()
    await keeper.finish(notes.append)
    assert notes == ["/state: not kept: sockets, pipes and devices: 1"]


async def test_a_canceled_save_is_waited_for(tmp_path: Path, small_disk: Path, runner: socket.socket) -> None:
    """The run ends in the middle of a save: the thread goes on, and the last save comes after it."""
    keeper, tree = a_keeper(tmp_path, runner), a_tree(small_disk)
    (tree / "a").write_bytes(os.urandom(4 << 20))
    give_hold(runner, tree)
    async with asyncio.TaskGroup() as tasks, asyncio.timeout(HANG_S):
        keeping = tasks.create_task(keeper.keep(print), name="keep")
        while keeper._saving is None:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        keeping.cancel()
    (tree / "b").write_bytes(b"two")
    await keeper.finish(print)
    found = kept(keeper.file)
    assert found is not None
    assert found.files == 2


def test_what_does_not_fit_is_refused_with_figures(tmp_path: Path, small_disk: Path) -> None:
    """Neither too many bytes nor too many files are filled into a /state that cannot hold them."""
    tree = a_tree(small_disk)
    (tree / "a").write_bytes(bytes(10_000))
    (tree / "b").touch()
    folder = os.open(tree, os.O_RDONLY)
    save(folder, tmp_path / "a.kept", SELF, bounds_of(SandboxSection()), None)
    os.close(folder)
    check_fits(tmp_path / "a.kept", Bounds(bytes_max=12_288, files_max=2))
    for bounds in (Bounds(bytes_max=12_287, files_max=2), Bounds(bytes_max=12_288, files_max=1)):
        with pytest.raises(StateError, match=r"it kept 0\.0 MB in 2 files, more than .* move the file away"):
            check_fits(tmp_path / "a.kept", bounds)
    check_fits(tmp_path / "none.kept", Bounds(bytes_max=1, files_max=1))
