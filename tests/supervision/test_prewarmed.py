"""Which jails wait, and for whom; what a script sees of it is tried in real jails (tests/jail/test_prewarmed.py)."""

import asyncio
import importlib.util
from dataclasses import replace
from pathlib import Path
from textwrap import dedent
from threading import Semaphore
from types import ModuleType

import pytest

from deskd.domain.ids import RunId, StrategyId, UserId
from deskd.domain.strategy import StrategySpec
from deskd.supervision.launch import Launcher, Prepared
from deskd.supervision.prewarmed import Prewarmed, Warm
from deskd.supervision.staging import SANDBOX
from tests.hang import HANG_S
from tests.supervised import a_config
from tests.supervision.test_launch import a_spec, open_fds

ALICE = StrategyId("alice")


async def until_warm(prewarmed: Prewarmed, strategy_id: StrategyId = ALICE) -> Warm:
    async with asyncio.timeout(HANG_S):
        while (warm := prewarmed.waiting(strategy_id)) is None or not warm.is_ready:  # noqa: ASYNC110
            await asyncio.sleep(0.002)
    return warm


async def test_the_room_is_for_the_first_who_come(tmp_path: Path, jail_root: Path) -> None:
    """With room for one, the second waits until the first is taken, forgotten or ended; nothing is left at the end."""
    config = a_config(tmp_path, jail_root, jailed=False, sandbox={}, restart={})
    launcher = Launcher.open(config)
    alice, bob = a_spec(config), a_spec(config, "bob")
    before = len(open_fds())
    prewarmed = Prewarmed(prepare=launcher.prepare, most=1)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(prewarmed.keep())
        prewarmed.want(alice)
        prewarmed.want(bob)
        warm = await until_warm(prewarmed)
        prewarmed.want(alice)  # the same again changes nothing
        assert prewarmed.waiting(ALICE) is warm
        assert prewarmed.waiting(bob.strategy_id) is None
        prewarmed.forget(ALICE)
        other = await until_warm(prewarmed, bob.strategy_id)
        assert await prewarmed.take(bob) is other
        assert await prewarmed.take(bob) is None
        await other.abandon()
        await prewarmed.close()
        await prewarmed.close()
        prewarmed.want(alice)
        assert prewarmed.waiting(ALICE) is None
    assert warm.process.returncode is not None
    assert other.process.returncode is not None
    assert len(open_fds()) == before
    launcher.close()


async def test_nobody_gets_what_was_made_from_something_else(tmp_path: Path, jail_root: Path) -> None:
    """Another hash, another variable, another member: the jail is ended before the run is prepared."""
    config = a_config(tmp_path, jail_root, jailed=False, sandbox={}, restart={})
    launcher = Launcher.open(config)
    alice = a_spec(config)
    prewarmed = Prewarmed(prepare=launcher.prepare, most=1)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(prewarmed.keep())
        for other in (
            replace(alice, code_hash="0"),
            replace(alice, env={"A": "1"}),
            replace(alice, user_id=UserId("bob")),
        ):
            prewarmed.want(alice)
            warm = await until_warm(prewarmed)
            assert await prewarmed.take(other) is None
            assert warm.process.returncode is not None
        await prewarmed.close()
    launcher.close()


async def test_what_is_wanted_twice_or_no_more_while_it_is_made_leaves_nothing(tmp_path: Path, jail_root: Path) -> None:
    """The same again is the same jail; another version, or none, ends the one that was under way."""
    config = a_config(tmp_path, jail_root, jailed=False, sandbox={}, restart={})
    launcher = Launcher.open(config)
    alice = a_spec(config)
    made, may_go_on = list[Prepared](), Semaphore(0)

    def slow(spec: StrategySpec, name: RunId) -> Prepared:
        assert may_go_on.acquire(timeout=20)
        made.append(launcher.prepare(alice, name))  # as if the folder held what is wanted
        return made[-1]

    before = len(open_fds())
    prewarmed = Prewarmed(prepare=slow, most=2)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(prewarmed.keep())
        prewarmed.want(alice)
        await asyncio.sleep(0.01)  # it is being made
        prewarmed.want(alice)
        may_go_on.release()
        first = await until_warm(prewarmed)
        await asyncio.sleep(0.01)
        assert len(made) == 1
        assert await prewarmed.take(alice) is first
        await first.abandon()

        prewarmed.want(alice)
        await asyncio.sleep(0.01)
        prewarmed.want(replace(alice, env={"A": "1"}))
        may_go_on.release(2)
        other = await until_warm(prewarmed)
        assert other.spec.env == {"A": "1"}
        assert len(made) == 3
        prewarmed.forget(ALICE)

        prewarmed.want(alice)
        await asyncio.sleep(0.01)
        prewarmed.forget(ALICE)
        may_go_on.release()
        await prewarmed.take(alice)  # returns when it is made
        assert prewarmed.waiting(ALICE) is None
        await prewarmed.close()
    assert all(one.group.is_empty() for one in made)
    assert len(open_fds()) == before
    launcher.close()


async def test_what_was_taken_is_its_takers_alone(tmp_path: Path, jail_root: Path) -> None:
    """A desk that ends meanwhile neither ends it nor forgets it: whoever has it does. Who comes later gets none."""
    config = a_config(tmp_path, jail_root, jailed=False, sandbox={}, restart={})
    launcher = Launcher.open(config)
    alice, bob = a_spec(config), a_spec(config, "bob")
    before = len(open_fds())
    prewarmed = Prewarmed(prepare=launcher.prepare, most=2)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(prewarmed.keep())
        prewarmed.want(alice)
        prewarmed.want(bob)
        await until_warm(prewarmed)
        await until_warm(prewarmed, bob.strategy_id)
        mine = await prewarmed.take(alice)
        assert mine is not None
        closing = tasks.create_task(prewarmed.close())
        await asyncio.sleep(0)
        assert await prewarmed.take(bob) is None
        await closing
        assert mine.process.poll() is None
        await mine.abandon()
        assert mine.process.returncode is not None
    assert len(open_fds()) == before
    launcher.close()


async def test_a_place_that_is_free_again_is_anothers(tmp_path: Path, jail_root: Path) -> None:
    """With room for one, the next in line gets its jail as soon as the first is taken."""
    config = a_config(tmp_path, jail_root, jailed=False, sandbox={}, restart={})
    launcher = Launcher.open(config)
    alice, bob = a_spec(config), a_spec(config, "bob")
    prewarmed = Prewarmed(prepare=launcher.prepare, most=1)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(prewarmed.keep())
        prewarmed.want(alice)
        prewarmed.want(bob)
        await until_warm(prewarmed)
        taken = await prewarmed.take(alice)
        assert taken is not None
        await until_warm(prewarmed, bob.strategy_id)
        await taken.abandon()
        await prewarmed.close()
    launcher.close()


async def test_a_jail_that_cannot_be_made_waits_for_nobody(tmp_path: Path, jail_root: Path) -> None:
    """What goes wrong is in the desk's log; the start itself will say it again. Zero: nothing is tried."""
    config = a_config(tmp_path, jail_root, jailed=False, sandbox={}, restart={})
    launcher = Launcher.open(config)
    alice, tried = a_spec(config), list[StrategySpec]()

    def fails(spec: StrategySpec, name: RunId) -> Prepared:
        tried.append(spec)
        raise OSError(28, f"no room for {name}")

    for most in (0, 1):
        prewarmed = Prewarmed(prepare=fails, most=most)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(prewarmed.keep())
            prewarmed.want(alice)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert await prewarmed.take(alice) is None
            await prewarmed.close()
        assert len(tried) == most
    launcher.close()


# --- what is imported ahead -------------------------------------------------------------------------------------------


@pytest.fixture
def runner() -> ModuleType:
    spec = importlib.util.spec_from_file_location("runner", SANDBOX / "runner.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ('"""Doc."""\nfrom __future__ import annotations\nimport json, sys\nfrom numpy import array', 4),
        ("import json\nimport os\nos.environ['A'] = '1'\nimport numpy", 2),  # the variable may decide what numpy does
        ("import json\nimport mine\nimport numpy", 1),  # a module of the member's own is his code
        ("import json\nfrom . import mine", 1),
        ("import this", 0),
        ("x = 1\nimport json", 0),
    ],
)
def test_only_what_comes_first_is_imported_ahead(tmp_path: Path, runner: ModuleType, source: str, names: int) -> None:
    """A script's leading imports, up to the first line that does anything, or that imports the member's own."""
    script = tmp_path / "strategy.py"
    script.write_text(dedent(source))
    (tmp_path / "mine.py").touch()
    assert len(runner.leading_imports(str(script))) == names


def test_a_module_with_anothers_name_stops_it(tmp_path: Path, runner: ModuleType) -> None:
    """Where the member has a random.py, numpy would import that one in a cold start."""
    script = tmp_path / "strategy.py"
    script.write_text("import json")
    assert runner.leading_imports(str(script)) == ["json"]
    (tmp_path / "random.py").touch()
    assert runner.leading_imports(str(script)) == []
