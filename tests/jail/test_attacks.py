"""Every attack of the corpus, in a real jail, beside a victim: contained, the victim served, nothing left."""

import asyncio
import math
import os
import shutil
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path

import pytest
import pytest_asyncio

from deskd.control import logs
from deskd.domain.ids import StrategyId
from deskd.domain.run import ExitReason
from deskd.domain.strategy import BrokenStrategy
from tests.jail.arena import (
    BLOCKED_MAX_S,
    BUSY_MAX_S,
    HOSTILE,
    LATE_MAX_S,
    LOG_SLACK_BYTES,
    SANDBOX,
    VICTIM,
    Arena,
    an_arena,
    tried,
)
from tests.jail.attacks import ATTACKS, NOT_CONTAINED, Attack
from tests.jail.configs import CONFIGS, TOO_LARGE

pytestmark = [
    pytest.mark.needs_nsjail,
    pytest.mark.usefixtures("needs_jail"),
    pytest.mark.asyncio(loop_scope="module"),
]
RETRIES = 2  # of what only took long: the machine is not ours alone. What keeps the victim waiting does so each time
TIMED_TURNS_PER_S = 20  # each way: covert_timing.py
TIMED_BITS_PER_S_MAX = 20.0  # a bit in every turn: more cannot pass by this
SAVES_SEEN = 10
SHARE_SLACK = 1.25  # a start works in longer turns than what it is measured in
PASSWORDS = [line for line in Path("/etc/passwd").read_bytes().splitlines() if line]
UIDS = 300_000 + os.getpid() % 200 * 1_000  # of this process alone: what is left of a run is found by its uid


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def arena(tmp_path_factory: pytest.TempPathFactory, jail_root: Path) -> AsyncIterator[Arena]:
    """One desk for all attacks. It lives in a task of its own: fixtures begin and end in different ones."""
    opened: asyncio.Future[Arena] = asyncio.get_running_loop().create_future()
    over = asyncio.Event()

    async def live() -> None:
        try:
            async with an_arena(tmp_path_factory.mktemp("arena"), jail_root, UIDS) as opened_arena:
                opened.set_result(opened_arena)
                await over.wait()
        except BaseException as error:
            if not opened.done():
                opened.set_exception(error)
            raise

    desk = asyncio.get_running_loop().create_task(live(), name="arena")
    yield await opened
    over.set()
    await desk


async def test_the_table_covers_all_that_was_once_tried() -> None:
    """The forty kinds of SANDBOX.md, and each script of the folder is one attack."""
    assert {row for attack in ATTACKS for row in attack.rows} == set(range(1, 41))
    scripts = {path.stem for path in HOSTILE.glob("*.py")} - {
        "tries",
        "victim",
        "covert_lock",
        "covert_futex",
        "covert_machine",
        "covert_timing",
    }
    assert {attack.name for attack in ATTACKS} == scripts


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
async def test_an_attack_is_contained(arena: Arena, attack: Attack) -> None:
    """The attacker sees the wall, the victim gets every line in time and trades, the loop goes on, and nothing is left."""
    slow = ["not tried yet"]
    for _ in range(1 + RETRIES):
        if slow:
            slow = await contained(arena, attack)
    assert not slow


async def contained(arena: Arena, attack: Attack) -> list[str]:
    """Try it, and assert what is so on any machine; return what took longer than it may."""
    strategy = StrategyId(f"attack-{attack.name}".replace("_", "-"))
    await arena.victim_trades()
    fds = arena.fds()
    arena.loop.busy_s = arena.loop.blocked_s = 0.0

    seen = await arena.attack(attack)

    assert seen.end.reason in attack.ends, seen.end
    weaker = {} if arena.supervisor.launcher.maps_uids else attack.one_uid
    wrong = {
        name: got
        for name, got in seen.tried.items()
        if (name not in weaker or weaker[name] != got)
        and (wanted := attack.sees.get(name, attack.sees_all)) is not None
        and (got not in wanted if isinstance(wanted, frozenset) else got != wanted)
    }
    assert not wrong
    if ExitReason.OOM not in attack.ends:  # else it may have died before it could say
        missing = attack.sees.keys() - seen.tried.keys()
        assert not missing, seen.log[-2000:]
        assert bool(seen.tried) or not attack.sees_all, seen.log[-2000:]
    assert [words for words in attack.says if words not in seen.log] == []
    assert arena.log_bytes(strategy) <= SANDBOX["log_kept_bytes"] + LOG_SLACK_BYTES
    if attack.burst:
        assert seen.dropped > 0
    if attack.uses_s:  # a busy machine makes it less, never more
        share = (seen.end.cpu_seconds or math.inf) / seen.lasted_s
        assert share <= arena.config.sandbox.cpu * SHARE_SLACK, seen
    await arena.until(lambda: not arena.remains(strategy), f"nothing to be left: {arena.remains(strategy)}")
    await arena.until(lambda: arena.fds() <= fds, f"descriptors: {fds} before, {arena.fds()} after")
    assert not (arena.config.desk.state_dir / "unpickled").exists()
    slow = too_slow(arena, seen.late_s)
    if not slow:
        arena.tally(attack, seen)
    return slow


@pytest.mark.parametrize("name", ["state_bombs", "names_in_state", "links_and_nodes", "pickles_in_state", "state_race"])
async def test_what_an_attacker_leaves_in_state_keeps_it_from_nothing(arena: Arena, name: str) -> None:
    """It starts again with what it left, or it does not and is told so; the desk and the victim go on."""
    [attack] = [attack for attack in ATTACKS if attack.name == name]
    strategy = f"again-{name}".replace("_", "-")
    for _ in range(3):
        seen = await arena.attack(attack, name=strategy)
        assert seen.end.reason in {*attack.ends, ExitReason.ERROR, ExitReason.SANDBOX_FAILURE}, seen.end
        await arena.until(lambda: not arena.remains(StrategyId(strategy)), "nothing to be left")
    assert not (arena.config.desk.state_dir / "unpickled").exists()


@pytest.mark.parametrize("kinds", [CONFIGS, TOO_LARGE], ids=["to be parsed", "too large"])
async def test_no_config_holds_up_the_desk_or_a_neighbour(arena: Arena, kinds: Mapping[str, str]) -> None:
    """Whatever stands in one, the victim trades while it is read; it breaks its own strategy and no other."""
    slow = ["not read yet"]
    for _ in range(1 + RETRIES):
        if slow:
            slow = await read_beside_the_victim(arena, kinds)
    assert not slow


async def read_beside_the_victim(arena: Arena, kinds: Mapping[str, str]) -> list[str]:
    """Have the desk read and start a strategy of each kind; return what took longer than it may."""
    asked = arena.victims_asked()
    arena.loop.busy_s = arena.loop.blocked_s = 0.0
    for number, text in enumerate(kinds.values()):
        strategy = StrategyId(f"config-{number}")
        arena.write(strategy, "print(1)\n")
        path = arena.config.desk.strategies_dir / strategy / "config.json"
        path.write_bytes(text.encode("utf-8", "surrogateescape"))
    await arena.supervisor.reread()
    found = {one.strategy_id: one for one in arena.supervisor.strategies()}
    for number, name in enumerate(kinds):
        strategy = StrategyId(f"config-{number}")
        await arena.supervisor.start(strategy)
        await arena.victim_trades()
        assert isinstance(found[strategy], BrokenStrategy), name
        assert not arena.ends(strategy), name
        shutil.rmtree(arena.config.desk.strategies_dir / strategy)
    await arena.supervisor.reread()
    return too_slow(arena, await arena.victim_was_late(asked))


def too_slow(arena: Arena, late_s: float) -> list[str]:
    """Assert that the loop was never at work for long and the victim lost nothing; return what took longer than it may."""
    assert "GAP" not in arena.log(VICTIM)
    assert "REFUSED" not in arena.log(VICTIM)
    assert arena.victims_counts()[2] == 0
    assert arena.loop.busy_s < BUSY_MAX_S
    slow = [f"the loop was away for {arena.loop.blocked_s:.2f} s"] if arena.loop.blocked_s >= BLOCKED_MAX_S else []
    return slow + ([f"the victim was served {late_s:.2f} s late"] if late_s >= LATE_MAX_S else [])


async def test_a_save_of_state_reads_only_what_is_there(arena: Arena) -> None:
    """While links to the host take the place of its files, the desk saves again and again, and keeps not a byte of the host's."""
    strategy = StrategyId("racer")
    root = arena.config.sandbox.jail_dir
    assert root is not None
    kept = root / "state" / f"{strategy}.kept"
    arena.write(strategy, (HOSTILE / "state_race.py").read_text())
    await arena.supervisor.start(strategy)
    saves = set[tuple[int, int]]()

    def is_saved_often() -> bool:
        if kept.exists():
            facts = kept.stat()
            saves.add((facts.st_ino, facts.st_mtime_ns))
        return len(saves) > SAVES_SEEN or bool(arena.ends(strategy))

    await arena.until(is_saved_often, "saves of /state")
    assert not arena.ends(strategy), arena.ends(strategy)
    await arena.victim_trades()
    await arena.supervisor.stop(strategy)
    data = kept.read_bytes()
    assert b"file" in data
    assert [line for line in PASSWORDS if line in data] == []
    assert b"SQLite format 3" not in data


async def test_no_line_of_a_log_is_anothers_than_the_desks_to_date(arena: Arena) -> None:
    """Each line begins with the desk's own time and stream: what a member forges stands behind `out` or `err`."""
    [attack] = [attack for attack in ATTACKS if attack.name == "forged_log_lines"]
    began = arena.supervisor.clock.now()
    seen = await arena.attack(attack, name="forger")
    heads = [line.split(" ", 2) for line in seen.log.splitlines()]
    assert all(datetime.fromisoformat(at) >= began.replace(microsecond=0) for at, _, _ in heads), seen.log
    assert {stream for _, stream, _ in heads} == {"out", "err", "desk"}
    assert [text for _, stream, text in heads if stream == "desk" and "victim" in text] == []
    assert [stream for _, stream, text in heads if "ended as oom" in text] == ["out"]


async def test_what_an_attacker_prints_steers_no_terminal(arena: Arena) -> None:
    """Whoever looks at its log reads words: no escape, no control character, no mark that turns text around."""
    [attack] = [attack for attack in ATTACKS if attack.name == "escape_sequences"]
    await arena.attack(attack, name="steersman")
    shown, _ = logs.tail(arena.supervisor.log_path(StrategyId("steersman")), 1_000)
    assert "desk ready" in shown
    assert all(line.isprintable() for line in shown.split("\n"))


@pytest.mark.parametrize(
    ("script", "sent", "received"),
    [("covert_lock", {"lock": "allowed"}, {"lock": "EAGAIN"}), ("covert_futex", {"futex": 1}, {"futex": "allowed"})],
)
async def test_two_jails_that_want_to_can_pass_a_bit(
    arena: Arena, script: str, sent: dict[str, object], received: dict[str, object]
) -> None:
    """A lock, or a wake-up, on a file that all jails share is seen by all: a bit passes, and nothing else does.

    It needs two members who want it, and tells neither what the other did not say.
    """
    source = (HOSTILE / f"{script}.py").read_text()
    got = {}
    for name in ("sender", "receiver"):
        arena.write(StrategyId(name), source)
        await arena.supervisor.start(StrategyId(name))
        await arena.until(lambda name=name: "HOLDING" in arena.log(StrategyId(name)), "the start")  # type: ignore[misc]
    for name in ("sender", "receiver"):
        await arena.until(lambda name=name: bool(tried(arena.log(StrategyId(name)))), "its report")  # type: ignore[misc]
        got[name] = tried(arena.log(StrategyId(name)))
        await arena.supervisor.stop(StrategyId(name))
        arena.supervisor.log_path(StrategyId(name)).unlink()
    assert got == {"sender": sent, "receiver": received}


async def test_two_jails_that_time_each_other_pass_less_than_a_bit_in_a_turn(arena: Arena) -> None:
    """Who works and rests on purpose is felt by whoever times himself: when, and never what; so many bits a second."""
    names = [StrategyId("timer-first"), StrategyId("timer-second")]
    for name in names:
        arena.write(name, (HOSTILE / "covert_timing.py").read_text())
    for name in names:
        await arena.supervisor.start(name)
    for name in names:
        await arena.until(lambda name=name: bool(tried(arena.log(name))), "its report")  # type: ignore[misc]
    await arena.victim_trades()
    got = [tried(arena.log(name)) for name in names]
    for name in names:
        await arena.supervisor.stop(name)
    learned = [bits_per_s(got[0]["secret"], got[1]["heard"]), bits_per_s(got[1]["secret"], got[0]["heard"])]
    print(f"two jails that time each other: {learned[0]:.1f} and {learned[1]:.1f} bits a second")
    arena.note(timing_bits_per_s_at_most=round(max(learned), 1))
    assert max(learned) <= TIMED_BITS_PER_S_MAX


def bits_per_s(secret: Sequence[int], heard: Sequence[int]) -> float:
    """Return how much of the secret the listener could know at most: by the threshold that suits it best, afterwards."""
    assert len(secret) == len(heard)
    right = max(
        sum((count < threshold) == bool(bit) for bit, count in zip(secret, heard, strict=True)) / len(secret)
        for threshold in {*heard, max(heard) + 1}
    )
    noise = 0.0 if right >= 1 else -right * math.log2(right) - (1 - right) * math.log2(1 - right)
    return (1 - noise) * TIMED_TURNS_PER_S


async def test_a_jail_knows_the_machine_and_nobody_on_it(arena: Arena) -> None:
    """Memory, load and processes are those of all together: what one of them uses is not told apart."""
    seen = await arena.attack(Attack(name="covert_machine", tries="", wall=""))
    assert seen.tried["memory"] == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert seen.tried["processes"] > arena.config.sandbox.pids
    assert [what for what, _ in NOT_CONTAINED[:3]] == [
        "locks on shared read-only files",
        "futexes on shared read-only files",
        "figures of the whole machine",
    ]


async def test_the_victim_had_every_line(arena: Arena) -> None:
    """In order, none lost, however many attacks there were; what it was given it has handled."""
    await arena.victim_trades()
    assert "GAP" not in arena.log(VICTIM)
    await arena.until(lambda: arena.victims_counts()[1] >= arena.victims_counts()[0] - 5, "the victim to catch up")
