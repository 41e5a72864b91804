"""A changed folder is seen, once it is whole."""

from pathlib import Path

from deskd.domain.ids import StrategyId
from deskd.supervision.changes import ENTRIES_MAX, Changes, stamp_of

ALICE = StrategyId("alice")


def watching(waiting: dict[StrategyId, Path]) -> tuple[Changes, list[StrategyId]]:
    told: list[StrategyId] = []

    async def on_change(strategy_id: StrategyId) -> None:
        told.append(strategy_id)

    return Changes(every_s=1, waiting=lambda: dict(waiting), on_change=on_change), told


async def test_a_folder_is_told_of_once_it_rests(tmp_path: Path) -> None:
    """At first, for it may have changed before anybody looked; then once for each change, when it is over."""
    changes, told = watching({ALICE: tmp_path})
    await changes.look()
    assert told == []
    for _ in range(3):
        await changes.look()
    assert told == [ALICE]
    for version in range(3):
        (tmp_path / "strategy.py").write_text("#" * version)  # still being written
        await changes.look()
    assert told == [ALICE]
    for _ in range(3):
        await changes.look()
    assert told == [ALICE, ALICE]


async def test_a_folder_that_was_not_watched_for_a_while_is_new(tmp_path: Path) -> None:
    """A strategy that ran meanwhile failed with whatever it was then; a folder that is gone breaks nothing."""
    waiting = {ALICE: tmp_path}
    changes, told = watching(waiting)
    for _ in range(2):
        await changes.look()
    waiting.clear()
    await changes.look()
    waiting[ALICE] = tmp_path / "gone"
    for _ in range(2):
        await changes.look()
    assert told == [ALICE, ALICE]


def test_a_stamp_changes_with_any_file_and_reads_none(tmp_path: Path) -> None:
    """Content, a name, a mode: each is seen; what a strategy is not made of is not."""
    folder = tmp_path / "alice"
    (folder / "data").mkdir(parents=True)
    table = folder / "data" / "table"
    table.write_text("1")
    stamps = [stamp_of(folder)]
    table.write_text("2")
    stamps.append(stamp_of(folder))
    table.rename(folder / "data" / "other")
    stamps.append(stamp_of(folder))
    (folder / "link").symlink_to("/etc/shadow")
    stamps.append(stamp_of(folder))
    assert len(set(stamps)) == 4
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "x.pyc").write_text("")
    assert stamp_of(folder) == stamps[-1]


def test_a_look_is_bounded(tmp_path: Path) -> None:
    """Neither a folder full of files nor a deep one nor a link out of it holds the look up."""
    for number in range(ENTRIES_MAX + 500):
        (tmp_path / f"{number:06}").touch()
    (tmp_path / "alice").symlink_to("/")
    deep = tmp_path.joinpath(*["d"] * 100)
    deep.mkdir(parents=True)
    assert stamp_of(tmp_path) == stamp_of(tmp_path)
    before = stamp_of(tmp_path / "d")
    (deep / "file").touch()
    assert stamp_of(tmp_path / "d") == before
    assert stamp_of(tmp_path / "alice") == stamp_of(tmp_path / "alice" / "gone") != before
