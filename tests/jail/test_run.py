"""What happens to a run in a real jail, from its first line to its last."""

import asyncio
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from deskd.domain.errors import SandboxUnavailable
from deskd.domain.run import ExitReason, RunStatus
from deskd.supervision.cgroup_files import PERIOD_US, quota_and_period_us
from deskd.supervision.uids import can_map_uids
from tests.hang import HANG_S
from tests.supervised import a_world

pytestmark = [pytest.mark.needs_nsjail, pytest.mark.usefixtures("needs_jail")]


async def test_a_plain_script_reads_lines_and_prints_to_its_log(tmp_path: Path, jail_root: Path) -> None:
    """The first desk's scripts run unchanged; the end of input is the end of the run."""
    source = """
        import json, sys
        for line in sys.stdin:
            print("price", json.loads(line)["price"])
        if __name__ == "__main__":
            print("goodbye", sys.argv)
    """
    async with a_world(tmp_path, jail_root, {"alice": source}) as world:
        await world.start("alice")
        run_id = await world.until_fed("alice")
        world.feed(run_id, b'{"price": 1.5}\n{"price": 2.5}\n')
        await world.until_printed("alice", "price 2.5")
        live = world.live("alice")
        await world.stop("alice")
        assert world.printed("alice") == ["price 1.5", "price 2.5", "goodbye ['/strategy/strategy.py']"]
        assert live is not None
        assert (live.lines_handled, live.lines_delivered, live.lines_dropped) == (2, 2, 2)
        assert live.memory_bytes
        [end] = world.ends("alice")
        assert (end.reason, end.exit_code) == (ExitReason.STOPPED, 0)
        assert end.peak_memory_bytes
        assert end.cpu_seconds
        assert world.status("alice") is RunStatus.STOPPED


ENDS = {
    "script_over": ("print('done')", ExitReason.CLEAN, 0, "end"),
    "exit_code": ("import sys; sys.exit(3)", ExitReason.ERROR, 3, "status 3"),
    "exit_255": ("import os; os._exit(255)", ExitReason.ERROR, 255, "status 255"),
    "raises": ("def f():\n    1/0\nf()", ExitReason.ERROR, 1, "ZeroDivisionError: division by zero"),
    "not_installed": ("import numpie", ExitReason.ERROR, 1, "No module named 'numpie'"),
    "segfault": ("import ctypes; ctypes.string_at(0)", ExitReason.SIGNAL, None, "SIGSEGV"),
    "memory": ("x = bytearray(10**9)", ExitReason.OOM, None, "128 MiB"),
    "tmp_over_memory": (
        "open('/tmp/a','wb').write(bytes(60<<20)); x = bytearray(90<<20)",
        ExitReason.OOM,
        None,
        "/tmp",
    ),
    "fork_bomb": ("import os\nwhile True: os.fork()", ExitReason.PIDS_LIMIT, 1, "more than 16 processes"),
    "exit_137": ("import os; os._exit(137)", ExitReason.ERROR, 137, "status 137"),
}


async def test_every_end_is_named_for_what_it_was(tmp_path: Path, jail_root: Path) -> None:
    """A student reads why the run ended; a code of their own is never taken for the desk's limits."""
    strategies = {name: source for name, (source, *_) in ENDS.items()}
    async with a_world(tmp_path, jail_root, strategies, sandbox={"pids": 16}) as world:
        await world.supervisor.start_enabled()
        for name, (_, reason, code, text) in ENDS.items():
            end = await world.until_ended(name)
            assert (end.reason, end.exit_code) == (reason, code), (name, end)
            assert text in end.detail, (name, end)
        assert list(jail_groups(jail_root)) == []


async def test_a_traceback_begins_at_the_members_own_line(tmp_path: Path, jail_root: Path) -> None:
    """The runner does not show in what the member has to read."""
    async with a_world(tmp_path, jail_root, {"alice": "def f():\n    1/0\nf()\n"}) as world:
        await world.run("alice")
        log = world.log("alice")
        assert 'File "/strategy/strategy.py", line 3, in <module>' in log
        assert "runner.py" not in log
        assert "no version information" not in log


async def test_end_of_input_is_a_grace_and_then_a_kill(tmp_path: Path, jail_root: Path) -> None:
    """A strategy that ignores the end of its input, and every signal, is gone soon after the grace."""
    source = """
        import os, signal, time
        for number in range(1, 32):
            try: signal.signal(number, signal.SIG_IGN)
            except (OSError, ValueError): pass
        if os.fork() == 0: os.setsid()
        print("deaf")
        while True: time.sleep(60)
    """
    async with a_world(tmp_path, jail_root, {"alice": source}, sandbox={"stop_grace_s": 0.2}) as world:
        await world.start("alice")
        await world.until_printed("alice", "deaf")
        await world.stop("alice")
        [end] = world.ends("alice")
        assert end.reason is ExitReason.STOPPED
        assert "was killed" in end.detail
        assert list(jail_groups(jail_root)) == []


async def test_what_a_run_leaves_behind_ends_with_it(tmp_path: Path, jail_root: Path) -> None:
    """A process that the script started and forgot does not outlive the script."""
    source = "import os, time\nif os.fork() == 0:\n    os.setsid()\n    time.sleep(600)\n"
    async with a_world(tmp_path, jail_root, {"alice": source}) as world:
        end = await world.run("alice")
        assert end.reason is ExitReason.CLEAN
        assert list(jail_groups(jail_root)) == []


async def test_who_uses_up_its_share_of_the_cores_waits_behind_the_others(tmp_path: Path, jail_root: Path) -> None:
    """A spinner weighs a twentieth of a modest run within seconds; both work in short turns once they are up.

    A twentieth of a core, so that it is the quota that bounds the spinner, and not what else this machine does. A guest
    on which an interpreter needs ten times as much to start gives more: what else runs there is this test alone.
    """
    strategies = {"alice": "print('up')\nwhile True: pass\n", "bob": "import time\nprint('up')\ntime.sleep(600)\n"}
    share = min(0.25, 0.05 * float(os.environ.get("DESKD_TEST_SLOWNESS", "1")))
    async with a_world(tmp_path, jail_root, strategies, sandbox={"cpu": share}) as world:
        for name in strategies:
            await world.start(name)
        for name in strategies:
            await world.until_printed(name, "up")

        def weights() -> set[tuple[str, str]]:
            """Return weight and period of both, in the words of this kernel's cgroups."""
            files = [("cpu.shares", "cpu.cfs_period_us"), ("cpu.weight", "cpu.max")]
            return {
                ((folder / weight).read_text().strip(), (folder / period).read_text().split()[-1])
                for folder in jail_groups(jail_root)
                for weight, period in files
                if (folder / weight).exists()
            }

        _, period = quota_and_period_us(share, PERIOD_US)
        wanted = [{(light, str(period)), (full, str(period))} for light, full in (("10", "205"), ("1", "20"))]
        async with asyncio.timeout(HANG_S):
            while weights() not in wanted:  # noqa: ASYNC110  the kernel tells nobody
                await asyncio.sleep(0.1)


async def test_a_slow_consumer_is_ended_at_once_and_tried_again(tmp_path: Path, jail_root: Path) -> None:
    """The hub's complaint ends that run, and no other."""
    source = "import time\nprint('up')\ntime.sleep(600)\n"
    strategies = {"alice": source, "bob": source}
    sandbox, restart = {"stop_grace_s": 0.1}, {"give_up_after": 5}
    async with a_world(tmp_path, jail_root, strategies, sandbox=sandbox, restart=restart) as world:
        await world.supervisor.start_enabled()
        run_id = await world.until_fed("alice")
        await world.until_fed("bob")
        await world.until_printed("alice", "up")
        await world.supervisor.end(run_id, ExitReason.SLOW_CONSUMER, "1000 unread order lines")
        await world.until(lambda: world.starts("alice") == 2)
        assert [end.reason for end in world.ends("alice")] == [ExitReason.SLOW_CONSUMER]
        assert world.ends("bob") == []


async def test_state_outlives_the_run(tmp_path: Path, jail_root: Path) -> None:
    """/state is the strategy's own, run after run; /tmp is new each time."""
    source = """
        import os
        print(os.path.exists("/state/kept"), os.path.exists("/tmp/kept"))
        open("/state/kept", "w").close(); open("/tmp/kept", "w").close()
    """
    async with a_world(tmp_path, jail_root, {"keeper": source}) as world:
        await world.run("keeper")
        await world.start("keeper")
        await world.until(lambda: len(world.ends("keeper")) == 2)
        assert world.printed("keeper") == ["False False", "True False"]


async def test_a_jail_that_does_not_come_up_is_not_the_members_fault(tmp_path: Path, jail_root: Path) -> None:
    """A launch failure is called sandbox_failure, and never leads to giving the strategy up."""
    if not can_map_uids():
        pytest.skip("one uid for all: what the desk reaches, its strategies reach")
    strategies = {"alice": "print('hello')"}
    async with a_world(tmp_path, jail_root, strategies, restart={"give_up_after": 1}) as world:
        jail_root.chmod(0o700)  # noqa: ASYNC240
        await world.start("alice")
        await world.until(lambda: len(world.ends("alice")) >= 3)
        jail_root.chmod(0o711)  # noqa: ASYNC240
        await world.until(lambda: world.ends("alice")[-1].reason is ExitReason.CLEAN)
        assert world.ends("alice")[0].reason is ExitReason.SANDBOX_FAILURE
        assert "not the strategy's" in world.ends("alice")[0].detail


async def test_a_second_desk_is_refused_the_same_jails(tmp_path: Path, jail_root: Path) -> None:
    """Two desks would sweep each other's runs away."""
    async with a_world(tmp_path, jail_root, {}):
        with pytest.raises(SandboxUnavailable, match="another desk"):
            async with a_world(tmp_path, jail_root, {}):
                pass


def jail_groups(jail_root: Path) -> Iterator[Path]:
    """Yield the cgroups of runs that the desk of *jail_root* has at the moment."""
    for folder in json.loads((jail_root / "cgroups.json").read_text()):
        yield from (path for path in Path(folder).glob("*") if path.is_dir())
