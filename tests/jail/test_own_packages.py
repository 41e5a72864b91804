"""A strategy's requirements.txt: built by an officer's word in real jails, and never able to reach beyond its own."""

import asyncio
import json
import os
import stat
import time
import zipfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from deskd.domain.ids import StrategyId
from deskd.domain.run import ExitReason
from deskd.domain.stage import Stage
from deskd.domain.strategy import BrokenStrategy
from deskd.ports import SystemClock
from deskd.supervision.deploying import Deployer
from deskd.supervision.folder import FolderError
from deskd.supervision.requirements_build import CannotBuild
from deskd.supervision.versions import CannotDeploy, Versions
from tests.hang import HANG_S
from tests.supervised import World, a_world
from tests.wheels import a_wheel

pytestmark = [pytest.mark.needs_nsjail, pytest.mark.usefixtures("needs_jail")]
ALICE = StrategyId("alice")
IMPORTS = "import signals; print(signals.VERSION)"


@pytest.fixture
def index(jail_root: Path, tmp_path: Path) -> Path:
    """Have a folder of wheels that a build's uid can read."""
    place = jail_root / f"index-{tmp_path.name}"
    a_wheel(place, "signals", needs=["maths-of-signals"])
    a_wheel(place, "maths-of-signals", "2.5")
    return place


@asynccontextmanager
async def a_desk(
    tmp_path: Path, jail_root: Path, index: Path, asked: str | bytes, source: str = IMPORTS, **sandbox: Any
) -> AsyncIterator[World]:
    settings = {"requirements": "wheels", "requirements_index": str(index)} | sandbox
    async with a_world(tmp_path, jail_root, {"alice": source, "bob": "print('bob')"}, sandbox=settings) as world:
        asked = asked.encode() if isinstance(asked, str) else asked
        (world.strategies_dir / "alice" / "requirements.txt").write_bytes(asked)
        await world.supervisor.reread()
        yield world


def problem(world: World) -> str:
    [found] = [one for one in world.supervisor.strategies() if one.strategy_id == ALICE]
    assert isinstance(found, BrokenStrategy)
    return found.problem


def nothing_is_left(jail_root: Path) -> bool:
    """Say whether no build left a file anywhere, neither half-made nor where a hostile name led."""
    own = jail_root / "own"
    half_made = [path for path in own.iterdir() if path.name[0] == "."]
    return not half_made and not list((jail_root / "build").iterdir()) and not list(jail_root.rglob("evil.py"))


async def test_an_officer_builds_and_the_strategy_imports(tmp_path: Path, jail_root: Path, index: Path) -> None:
    """Until then it is broken, with the remedy; what it needs comes along; another strategy cannot import it."""
    async with a_desk(tmp_path, jail_root, index, "signals == 1.0  # mine\n") as world:
        assert "requirements.txt: is not built" in problem(world)
        assert "`deskctl build alice`" in problem(world)
        assert await world.supervisor.build(ALICE) == "built maths-of-signals 2.5, signals 1.0"
        end = await world.run("alice")
        assert (end.reason, world.printed("alice")) == (ExitReason.CLEAN, ["1.0"])
        (world.strategies_dir / "bob" / "strategy.py").write_text(IMPORTS)
        assert "No module named 'signals'" in (await world.run("bob")).detail
    assert nothing_is_left(jail_root)


async def test_no_package_runs_before_the_strategy_imports_it(tmp_path: Path, jail_root: Path, index: Path) -> None:
    """Neither what Python would import by itself, nor, in a jail that waits, what a script imports first."""
    early = "import sys\nprint(hasattr(sys.modules['__main__'], 'wait_for_go'))\n"
    a_wheel(index, "early", files={"sitecustomize.py": "import os\nos._exit(7)\n", "talib.py": early})
    async with a_desk(tmp_path, jail_root, index, "early==1.0\n", "import talib", prewarmed=2) as world:
        await world.supervisor.build(ALICE)
        async with asyncio.timeout(HANG_S):
            while (warm := world.supervisor.prewarmed.waiting(ALICE)) is None or not warm.is_ready:  # noqa: ASYNC110
                await asyncio.sleep(0.005)
        assert (await world.run("alice")).reason is ExitReason.CLEAN
        assert world.printed("alice") == ["False"]


async def test_a_set_is_built_once(tmp_path: Path, jail_root: Path, index: Path) -> None:
    """The same requirements of the same environment are the same set, whoever asks and however it is written."""
    a_wheel(index, "built-once", "3.1")
    async with a_desk(tmp_path, jail_root, index, "built_Once==3.1\n", "import built_once") as world:
        assert (await world.supervisor.build(ALICE)).startswith("built ")
        (world.strategies_dir / "bob" / "requirements.txt").write_text("# comment\n\nBuilt.Once == 3.1\r\n")
        assert await world.supervisor.build(StrategyId("bob")) == "its packages were built before"
        assert (await world.run("bob")).reason is ExitReason.CLEAN


async def test_everything_that_is_imported_was_compiled(tmp_path: Path, jail_root: Path, index: Path) -> None:
    """A start compiles nothing and can write nothing there; a .pth file in a wheel is not read by Python."""
    a_wheel(index, "sly", files={"sly.py": "import os", "sly.pth": "import os; os.environ['SLY'] = 'ran'\n"})
    source = """
        import os, signals, sly
        print(os.path.exists(signals.__spec__.cached), sly.__file__, os.environ.get("SLY"))
        try:
            open("/packages/own/x.py", "w")
        except OSError as error:
            print(error.strerror)
    """
    async with a_desk(tmp_path, jail_root, index, "signals==1.0\nsly==1.0", source) as world:
        await world.supervisor.build(ALICE)
        assert (await world.run("alice")).reason is ExitReason.CLEAN, world.log("alice")
        assert world.printed("alice") == ["True /packages/own/sly.py None", "Read-only file system"]


async def test_members_cause_no_download_where_officers_allow_none(
    tmp_path: Path, jail_root: Path, index: Path
) -> None:
    """`deny` is the default: the strategy is broken, and no command builds it."""
    async with a_desk(tmp_path, jail_root, index, "signals==1.0", requirements="deny") as world:
        assert "this desk builds no packages for single strategies" in problem(world)
        with pytest.raises(FolderError, match="builds no packages"):
            await world.supervisor.build(ALICE)


async def test_what_is_shared_stays_what_it_is(tmp_path: Path, jail_root: Path, index: Path) -> None:
    """No requirement, and nothing that one needs, puts another version beside a shared package."""
    a_wheel(index, "protobuf", "3.0")
    a_wheel(index, "wants-old", needs=["protobuf<4"])
    async with a_desk(tmp_path, jail_root, index, "protobuf==3.0") as world:
        assert "this desk's strategies share protobuf" in problem(world)
        (world.strategies_dir / "alice" / "requirements.txt").write_text("wants-old==1.0")
        with pytest.raises(CannotBuild, match="resolving"):
            await world.supervisor.build(ALICE)


HOSTILE = {
    "climbs": ("../../evil.py", 0o644, b"x", "leads out of the package"),
    "absolute": ("/state/../evil.py", 0o644, b"x", "leads out of the package"),
    "backslash": ("a\\..\\evil.py", 0o644, b"x", "leads out of the package"),
    "link": ("link", stat.S_IFLNK | 0o777, b"/etc/shadow", "is a link"),
    "double": ("double/__init__.py", 0o644, b"x", "another wheel has a file of that name"),
    "escapes": ("evil\x1b[2J.py", 0o644, b"x", "no plain name"),
}


@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")
@pytest.mark.parametrize("attack", HOSTILE)
async def test_a_hostile_wheel_is_not_unpacked(tmp_path: Path, jail_root: Path, index: Path, attack: str) -> None:
    """Names that climb, links, files over files: the wheel and the rule are named, and nothing of it is kept."""
    name, mode, content, says = HOSTILE[attack]
    entry = zipfile.ZipInfo(name)
    entry.external_attr = mode << 16
    a_wheel(index, attack, entries=[(entry, content)])
    async with a_desk(tmp_path, jail_root, index, f"{attack}==1.0") as world:
        with pytest.raises(CannotBuild, match=says):
            await world.supervisor.build(ALICE)
        assert "is not built" in problem(world)
    assert nothing_is_left(jail_root)


async def test_a_bomb_ends_at_the_bound(tmp_path: Path, jail_root: Path, index: Path) -> None:
    """A wheel of some kilobytes that unpacks to gigabytes is cut off where officers said; the disk stays as it was."""
    a_wheel(index, "bomb", files={f"bomb/{number}.py": bytes(4 << 20) for number in range(8)})
    async with a_desk(tmp_path, jail_root, index, "bomb==1.0", requirements_mb=8) as world:
        with pytest.raises(CannotBuild, match="requirements_mb"):
            await world.supervisor.build(ALICE)
    assert nothing_is_left(jail_root)


async def test_source_that_kills_the_compiler_is_only_not_compiled(
    tmp_path: Path, jail_root: Path, index: Path
) -> None:
    """What cannot be compiled stays a source: it fails where it is imported, in its member's own jail."""
    a_wheel(index, "odd", files={"odd/__init__.py": "", "odd/bad.py": "def (", "odd/deep.py": "(" * 5_000})
    async with a_desk(tmp_path, jail_root, index, "odd==1.0", "import odd; print('here')") as world:
        await world.supervisor.build(ALICE)
        await world.run("alice")
        assert world.printed("alice") == ["here"]


async def test_no_source_is_built(tmp_path: Path, jail_root: Path, index: Path) -> None:
    """A package that has only sources would run code of its own to be built: it is refused."""
    with zipfile.ZipFile(index / "sourced-1.0.zip", "w") as archive:
        archive.writestr("sourced-1.0/setup.py", "open('/state/ran', 'w')")
    async with a_desk(tmp_path, jail_root, index, "sourced==1.0") as world:
        with pytest.raises(CannotBuild, match=r"resolving: .*sourced"):
            await world.supervisor.build(ALICE)


async def test_unused_sets_go_and_used_ones_stay(tmp_path: Path, jail_root: Path, index: Path) -> None:
    """A set that nobody asks for any more, and that no run started with for a week, is removed at the next build."""
    async with a_desk(tmp_path, jail_root, index, "signals==1.0") as world:
        await world.supervisor.build(ALICE)
        own = world.supervisor.launcher.own_packages
        old = own.place(own.read(b"signals==1.0"))
        assert old is not None
        (world.strategies_dir / "alice" / "requirements.txt").write_text("maths-of-signals==2.5")
        await world.supervisor.build(ALICE)
        assert old.exists()
        os.utime(old, (time.time() - 8 * 86_400,) * 2)  # noqa: TID251  the file system's own clock
        a_wheel(index, "third")
        (world.strategies_dir / "alice" / "requirements.txt").write_text("third==1.0")
        await world.supervisor.build(ALICE)
        assert not old.exists()
        kept = own.place(own.read(b"third==1.0"))
        assert kept is not None
        assert json.dumps((kept / "lock.txt").read_text()).count("sha256") == 1


async def test_a_desk_that_stops_ends_a_build(tmp_path: Path, jail_root: Path) -> None:
    """An index that never answers holds up no stop: nothing of the build is left, and whoever waits is told."""
    asked, held = asyncio.Event(), list[asyncio.StreamWriter]()

    async def never(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        held.append(writer)
        asked.set()

    async with await asyncio.start_server(never, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/simple"
        async with a_desk(tmp_path, jail_root, Path("/unused"), "signals == 9.9", requirements_index=url) as world:

            async def build() -> None:
                with pytest.raises(CannotBuild, match="resolving: the desk stops"):
                    await world.supervisor.build(ALICE)

            async with asyncio.timeout(HANG_S), asyncio.TaskGroup() as tasks:
                tasks.create_task(build(), name="build")
                await asked.wait()
                await world.supervisor.stop_all("the desk stopped")
        for writer in held:
            writer.close()
    assert nothing_is_left(jail_root)


async def test_a_deployment_builds_what_it_asks_for(tmp_path: Path, jail_root: Path, index: Path) -> None:
    """On the way, where an officer deploys; what a member deploys must be built, and they are told who can have it."""
    files = {
        PurePosixPath("strategy.py"): IMPORTS.encode(),
        PurePosixPath("requirements.txt"): b"signals == 1.0\nmaths-of-signals == 2.5\n",
    }
    async with a_desk(tmp_path, jail_root, index, "") as world:
        kept: list[object] = []

        async def keep(fact: object) -> None:
            kept.append(fact)

        deployer = Deployer(
            versions=Versions(root=tmp_path / "versions", strategies_dir=world.strategies_dir),
            runs=world.supervisor,
            clock=SystemClock(),
            keep=keep,
            stage_of=lambda _: Stage.ACTIVE,
            chosen={},
        )
        with pytest.raises(CannotDeploy, match="ask one for `deskctl deploy DIR`, which builds them"):
            await deployer.deploy(ALICE, files, by="alice", allow=lambda _: None)
        wrong = files | {PurePosixPath("requirements.txt"): b"no-such-thing == 1.0\n"}
        with pytest.raises(CannotDeploy, match="alice: its packages cannot be built: resolving: "):
            await deployer.deploy(ALICE, wrong, by="ada", allow=lambda _: None, builds=True)
        assert kept == []
        await deployer.deploy(ALICE, files, by="ada", allow=lambda _: None, builds=True)
        new = StrategyId("carol")
        await deployer.deploy(new, files, by="ada", allow=lambda _: None, builds=True)
        end = await world.run("alice")
        assert (end.reason, world.printed("alice")) == (ExitReason.CLEAN, ["1.0"])
        await world.until(lambda: bool(world.ends("carol")))
        assert world.printed("carol") == ["1.0"]
