"""The door for laptops: shut unless it is wanted, with tokens unless the money is nobody's."""

import asyncio
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from deskd.api.endpoint import Api
from deskd.app.laptops import LaptopDoor, tokens_of
from deskd.config import ApiSection
from deskd.domain.errors import ConfigError
from tests.factories import ALICE
from tests.runtime.a_live_desk import World


def a_door(world: World, tasks: asyncio.TaskGroup, folder: Path, *, port: int, is_embedded: bool) -> LaptopDoor:
    api = Api(world.runtime, world.wall, tasks, config=ApiSection(), requests_per_s=10)
    tokens = tokens_of(port, folder, is_embedded=is_embedded)
    return LaptopDoor(port=port, tokens=tokens, api=api, spec_of=lambda _: None)


async def test_a_door_that_nobody_configured_stays_shut(tmp_path: Path) -> None:
    """No port, no key on disk; who asks for a token hears what to set."""
    async with asyncio.TaskGroup() as tasks:
        door = a_door(World(), tasks, tmp_path, port=0, is_embedded=False)
        with capture_logs() as told:
            await door.open()
        assert told == []
        assert not (tmp_path / "token.key").exists()
        with pytest.raises(ConfigError, match="local_port = 8080"):
            door.issue(ALICE)


async def test_on_the_embedded_exchange_no_token_is_needed(tmp_path: Path) -> None:
    """A name is enough, and who asks is told that."""
    async with asyncio.TaskGroup() as tasks:
        door = a_door(World(), tasks, tmp_path, port=8080, is_embedded=True)
        with pytest.raises(ConfigError, match="STRATEGY_ID=alice is enough"):
            door.issue(ALICE)


async def test_where_the_account_is_real_a_token_opens_it(tmp_path: Path) -> None:
    """The one that was issued, for the strategy that it was issued for."""
    async with asyncio.TaskGroup() as tasks:
        door = a_door(World(), tasks, tmp_path, port=8080, is_embedded=False)
        assert door.tokens is not None
        assert door.tokens.strategy_of(door.issue(ALICE)) == ALICE
