"""Who may pause, shadow, activate and resume what; each is a fact."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from deskd.cli.client import Desk, NotDone
from deskd.domain.stage import Stage
from tests.control.a_running_desk import MEMBER, RunningDesk, a_running_desk
from tests.factories import ALICE, BOB


async def stage(desk: RunningDesk, verb: str, *names: str, **body: Any) -> Any:
    given = body or {"names": list(names)}
    return (await asyncio.to_thread(Desk(desk.socket).command, f"/{verb}", given)).body["strategies"]


async def test_a_strategy_goes_from_paused_over_shadow_to_active(tmp_path: Path) -> None:
    """What it was is told, too; a beginning of the name is enough; `status` shows it."""
    async with a_running_desk(tmp_path) as desk:
        assert await stage(desk, "shadow", "ali") == [{"strategy_id": "alice", "stage": "shadow", "before": "active"}]
        assert desk.desk.stages.of(ALICE) is Stage.SHADOW
        await stage(desk, "pause", "alice")
        [row] = (await asyncio.to_thread(Desk(desk.socket).look, "/status", {"strategy": "alice"}))["strategies"]
        assert row["stage"] == "paused"
        assert await stage(desk, "resume", "alice") == [{"strategy_id": "alice", "stage": "shadow", "before": "paused"}]
        assert await stage(desk, "activate", "alice") == [
            {"strategy_id": "alice", "stage": "active", "before": "shadow"}
        ]
    assert [(c.command, c.arguments, c.by) for c in desk.commands][:2] == [
        ("shadow", "alice", "ada (uid 0)"),
        ("pause", "alice", "ada (uid 0)"),
    ]


async def test_all_means_every_strategy_and_is_an_officers(tmp_path: Path) -> None:
    """The broken one, too: it may be mended while it is paused."""
    async with a_running_desk(tmp_path) as desk:
        rows = await stage(desk, "pause", all=True)
        assert {row["strategy_id"] for row in rows} == {"alice", "bob", "wreck"}
        assert desk.commands[0].arguments == "--all"


async def test_members_stage_what_is_theirs_and_nothing_else(tmp_path: Path) -> None:
    """Nothing of a command that names another's is done."""
    async with a_running_desk(tmp_path, caller=MEMBER) as desk:
        await stage(desk, "shadow", "alice")
        for verb in ("pause", "shadow", "activate", "resume"):
            with pytest.raises(NotDone, match="bob is not yours"):
                await stage(desk, verb, "alice", "bob")
            with pytest.raises(NotDone, match="--all means every member's"):
                await stage(desk, verb, all=True)
        assert desk.desk.stages.of(ALICE) is Stage.SHADOW
        assert desk.desk.stages.of(BOB) is Stage.ACTIVE


async def test_nobody_is_not_all(tmp_path: Path) -> None:
    """A command without names is refused."""
    async with a_running_desk(tmp_path) as desk:
        for names in ([], "alice", [7]):
            with pytest.raises(NotDone, match="which strategies"):
                await stage(desk, "pause", names=names)
