"""/state in a real jail: bounded by the kernel, kept by the desk, whatever ends the run or the desk."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from deskd.domain.run import ExitReason
from deskd.supervision.uids import can_map_uids
from tests.hang import HANG_S
from tests.supervised import a_world, until_up, write_strategy

pytestmark = [pytest.mark.needs_nsjail, pytest.mark.usefixtures("needs_jail")]

FILLS = """
    import errno, os
    def outcome(attempt):
        try:
            return attempt() or "done"
        except OSError as error:
            return errno.errorcode[error.errno]
    def fill():
        for number in range(100):
            with open(f"/state/f{number}", "wb") as file:
                file.write(bytes(1 << 20))
    def names():
        for number in range(10_000):
            open(f"/state/n{number}", "w").close()
    print("bytes", outcome(fill))
    for name in os.listdir("/state"): os.unlink(f"/state/{name}")
    print("names", outcome(names), len(os.listdir("/state")))
    for name in os.listdir("/state"): os.unlink(f"/state/{name}")
    open("/state/a", "w").close()
    def links():
        for number in range(10_000):
            os.link("/state/a", f"/state/l{number}")
    print("links", outcome(links), len(os.listdir("/state")))
"""


async def test_state_is_bounded_in_bytes_and_files(tmp_path: Path, jail_root: Path) -> None:
    """Over either bound a write fails with ENOSPC, by many files, by names and by links; the log says it is full."""
    sandbox = {"state_mb": 8, "state_files": 50, "memory_mb": 64}
    async with a_world(tmp_path, jail_root, {"filler": FILLS}, sandbox=sandbox) as world:
        end = await world.run("filler")
        assert end.reason is ExitReason.CLEAN
        assert world.printed("filler") == ["bytes ENOSPC", "names ENOSPC 50", "links ENOSPC 50"]
        assert "/state is nearly full (0.0 of 8 MB, 50 of 50 files): writes beyond that fail with ENOSPC" in world.log(
            "filler"
        )


KEEPER = """
    import os, sys, time
    seen = sorted(os.listdir("/state"))
    print("seen", *seen)
    with open(f"/state/{len(seen)}", "w") as file:
        file.write("kept")
    print("written", flush=True)
    how = open("/strategy/how").read().strip()
    if how == "oom":
        hold = bytearray(10**9)
    if how == "raise":
        raise ValueError("prise")
    if how == "wait":
        time.sleep(600)
"""


async def test_what_is_written_survives_every_end(tmp_path: Path, jail_root: Path) -> None:
    """A finished write is there in the next run: after a clean end, an exception, a kill and an out-of-memory kill."""
    folder = write_strategy(tmp_path / "strategies", "mortal", KEEPER)
    (folder / "how").write_text("end")
    async with a_world(tmp_path, jail_root, {}, sandbox={"stop_grace_s": 0.1}) as world:
        for count, how in enumerate(["end", "oom", "raise", "wait", "end"]):
            (folder / "how").write_text(how)
            await world.start("mortal")
            if how == "wait":
                await world.until(lambda: world.starts("mortal") == 4)
                run_id = await world.until_fed("mortal")
                while world.log("mortal").count("out written") < 4:  # noqa: ASYNC110  a file tells nobody
                    await asyncio.sleep(0.01)
                await world.supervisor.end(run_id, ExitReason.STALLED, "it is time")
            await world.until(lambda count=count: len(world.ends("mortal")) == count + 1)  # type: ignore[misc]
        reasons = [str(end.reason) for end in world.ends("mortal")]
        assert reasons == ["clean", "oom", "error", "stalled", "clean"]
        seen = [line for line in world.printed("mortal") if line.startswith("seen")]
        assert seen == ["seen", "seen 0", "seen 0 1", "seen 0 1 2", "seen 0 1 2 3"]
    async with a_world(tmp_path, jail_root, {}) as world:  # and the desk's own end
        await world.run("mortal")
        assert world.printed("mortal")[-2:] == ["seen 0 1 2 3 4", "written"]


DESK = """
import asyncio, sys
from pathlib import Path
from deskd.supervision.uids import can_map_uids
from tests.supervised import a_world

async def main():
    async with a_world(Path(sys.argv[1]), Path(sys.argv[2]), {}, sandbox={"state_save_s": 0.05}) as world:
        await world.supervisor.start_enabled()
        await world.until_printed("victim", "written")
        print("up", flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_a_killed_desk_loses_what_is_newer_than_the_last_save(tmp_path: Path, jail_root: Path) -> None:
    """SIGKILL of the desk: what was there at the last save is there again, and whole."""
    folder = write_strategy(tmp_path / "strategies", "victim", KEEPER)
    (folder / "how").write_text("wait")
    desk = await asyncio.create_subprocess_exec(
        sys.executable, "-c", DESK, str(tmp_path), str(jail_root), stdout=asyncio.subprocess.PIPE, cwd=Path.cwd()
    )
    assert desk.stdout is not None
    async with asyncio.timeout(HANG_S):
        assert b"up\n" in [line async for line in until_up(desk.stdout)]
        while not (jail_root / "state" / "victim.kept").exists():  # noqa: ASYNC110  a foreign process tells nobody
            await asyncio.sleep(0.01)
    desk.kill()
    assert await desk.wait() == -signal.SIGKILL
    (folder / "how").write_text("end")
    async with a_world(tmp_path, jail_root, {}) as world:
        await world.run("victim")
        assert "seen 0" in world.printed("victim")


async def test_how_much_is_used_is_shown(tmp_path: Path, jail_root: Path) -> None:
    """Used of limit, in bytes and files, of a run that lives; what is kept is the desk's own file."""
    source = "open('/state/a', 'wb').write(bytes(3 << 20))\nprint('up')\nimport time\ntime.sleep(600)\n"
    sandbox = {"state_mb": 8, "state_files": 50, "stop_grace_s": 0.1}
    async with a_world(tmp_path, jail_root, {"user": source}, sandbox=sandbox) as world:
        await world.start("user")
        await world.until_printed("user", "up")
        live = world.live("user")
        assert live is not None
        assert live.state is not None
        assert (live.state.bytes, live.state.bytes_max, live.state.files, live.state.files_max) == (
            3 << 20,
            8 << 20,
            1,
            50,
        )
        await world.stop("user")
        file = jail_root / "state" / "user.kept"
        assert (file.stat().st_uid, file.stat().st_mode & 0o777) == (os.geteuid(), 0o600)


async def test_a_lower_bound_is_told_before_the_run(tmp_path: Path, jail_root: Path) -> None:
    """What was kept under a higher bound is not cut: the start is refused, as the desk's own trouble."""
    source = "open('/state/a', 'wb').write(bytes(3 << 20))\n"
    async with a_world(tmp_path, jail_root, {"rich": source}, sandbox={"state_mb": 4}) as world:
        await world.run("rich")
    async with a_world(tmp_path, jail_root, {}, sandbox={"state_mb": 2}) as world:
        end = await world.run("rich")
        assert end.reason is ExitReason.SANDBOX_FAILURE
        assert "kept 3.0 MB in 1 files, more than [sandbox] state_mb=2 and state_files=4096" in end.detail


async def test_a_damaged_file_is_not_the_members_fault(tmp_path: Path, jail_root: Path) -> None:
    """The script does not begin with half of what it kept."""
    source = "print('begins')\nopen('/state/a', 'wb').write(b'one' * 1000)\n"
    async with a_world(tmp_path, jail_root, {"unlucky": source}) as world:
        await world.run("unlucky")
        file = jail_root / "state" / "unlucky.kept"
        file.write_bytes(file.read_bytes()[:-100])
        await world.start("unlucky")
        await world.until(lambda: len(world.ends("unlucky")) >= 2)
        end = world.ends("unlucky")[1]
        assert end.reason is ExitReason.SANDBOX_FAILURE
        assert "what was kept of /state cannot be put back: it is cut short" in end.detail
        assert world.printed("unlucky") == ["begins"]


async def test_an_older_desks_state_comes_along(tmp_path: Path, jail_root: Path) -> None:
    """A folder that members wrote to directly is taken over at the first start."""
    old = jail_root / "state" / "old"
    old.mkdir(parents=True, mode=0o700)
    (old / "model").write_text("weights")
    numbers = {"uid": 0}
    source = "print(open('/state/model').read())\n"
    async with a_world(tmp_path, jail_root, {"old": source}) as world:
        numbers["uid"] = world.supervisor.launcher.uids.of(world.supervisor.strategies()[0].strategy_id)
        for path in (old / "model", old) if can_map_uids() else ():  # in the order that a desk without root can
            os.chown(path, numbers["uid"], numbers["uid"])
        await world.run("old")
        assert world.printed("old") == ["weights"]


async def test_the_script_has_no_way_to_the_desk_but_its_door(tmp_path: Path, jail_root: Path) -> None:
    """The socket over which /state was filled is closed before its first line."""
    source = """
        import os, stat
        def is_socket(fd):
            try: return stat.S_ISSOCK(os.fstat(fd).st_mode)
            except OSError: return False
        open("/state/a", "w").close()
        print([fd for fd in range(256) if is_socket(fd)])
    """
    async with a_world(tmp_path, jail_root, {"curious": source}) as world:
        await world.run("curious")
        await world.start("curious")
        await world.until(lambda: len(world.ends("curious")) == 2)
        assert world.printed("curious") == ["[]", "[]"]


LIMITED = """
import asyncio, sys
from dataclasses import replace
from pathlib import Path
from deskd.supervision.uids import can_map_uids
from tests.supervised import a_world

async def main():
    async with a_world(Path(sys.argv[1]), Path(sys.argv[2]), {}, jailed=False) as world:
        # a jail without cgroups, which version 1 gives to nobody without CAP_DAC_OVERRIDE
        world.supervisor.launcher = replace(world.supervisor.launcher, is_jailed=True)
        for count in (1, 2):
            await world.start("limited")
            await world.until(lambda: len(world.ends("limited")) == count)
        print([end.reason.value for end in world.ends("limited")], world.printed("limited"))

asyncio.run(main())
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="drops capabilities")
async def test_no_right_on_others_files_is_needed(tmp_path: Path, jail_root: Path) -> None:
    """Without CAP_SYS_ADMIN, CAP_DAC_OVERRIDE or CAP_SYS_PTRACE, as the unit has it, /state is bounded and kept."""
    caps = "-all,+setuid,+setgid,+chown"
    folder = write_strategy(tmp_path / "strategies", "limited", KEEPER)
    (folder / "how").write_text("end")
    told = await asyncio.to_thread(
        subprocess.run,
        [
            *("setpriv", f"--bounding-set={caps}", "--inh-caps=-all", "--no-new-privs", "--clear-groups"),
            *(sys.executable, "-c", LIMITED, str(tmp_path), str(jail_root)),
        ],
        capture_output=True,
        text=True,
        timeout=HANG_S,
        check=False,
    )
    said = told.stdout.splitlines()[-1:]
    assert said == ["['clean', 'clean'] ['seen', 'written', 'seen 0', 'written']"], told.stdout + told.stderr
