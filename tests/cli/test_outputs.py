"""What is printed with --json is as documented, and exit codes are as promised: of every command, on a desk that answers."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from deskd.cli.outputs import OUTPUTS
from deskd.domain.ids import StrategyId
from tests.cli.in_process import Said, commands, ctl, takes_json
from tests.control.a_running_desk import MEMBER, a_running_desk
from tests.control.test_notifications import keep_a_dead_one
from tests.factories import DAY
from tests.ledger.life import a_life, written
from tools.json_reference import FOLDER, schema, schemas

ROOT = Path(__file__).parents[2]
NO_JSON = {"completion"}  # what it prints is for a shell
# Looks at what a caller may see anyway, and may be empty: nothing to refuse.
NEVER_REFUSED = {"outages", "top", "jobs", "notify list", "completion"}
NEEDS_NO_DESK = {
    "backtest",
    "replay",
    "run",
    "audit export",
    "audit rebuild",
    "audit roots",
    "audit sign",
    "audit verify",
    "backup",
    "completion",
    "check",
    "config check",
    "config show",
    "doctor",
    "handover",
    "jail test",
    "new",
}


@dataclass(frozen=True)
class Case:
    """A command line, and how it ends."""

    command: str
    arguments: str = ""
    code: int = 0


# In this order, on one desk: what some cases do, others find.
CASES = (
    Case("status", "alice"),
    Case("status", "zzz", 1),
    Case("logs", "alice"),
    Case("logs", "bob", 1),
    Case("orders"),
    Case("orders", "--open"),
    Case("orders", "--strategy zzz", 1),
    Case("fills"),
    Case("fills", "--strategy zzz", 1),
    Case("positions"),
    Case("positions", "--strategy zzz", 1),
    Case("account"),
    Case("account", "--strategy zzz", 1),
    Case("why", "alice-1"),
    Case("why", "alice-2"),
    Case("why", "alice-3"),
    Case("why", "zzzz", 1),
    Case("events"),
    Case("events", "--strategy zzz", 1),
    Case("runs"),
    Case("runs", "alice --last"),
    Case("runs", "bob --last"),
    Case("runs", "zzz", 1),
    Case("outages"),
    Case("start", "bob"),
    Case("start", "wreck", 1),
    Case("stop", "bob"),
    Case("stop", "zzz", 1),
    Case("restart", "alice"),
    Case("restart", "wreck", 1),
    Case("shadow", "alice"),
    Case("shadow", "zzz", 1),
    Case("pause", "alice"),
    Case("pause", "zzz", 1),
    Case("resume", "alice"),
    Case("resume", "zzz", 1),
    Case("activate", "alice"),
    Case("activate", "zzz", 1),
    Case("new", "carol --in {folder}/logs"),
    Case("new", "carol --in {folder}/logs", 1),
    Case("new", "--list"),
    Case("check", "{folder}/alice"),
    Case("check", "{folder}/logs", 1),
    Case("rollback", "alice", 1),
    Case("deploy", "{folder}/alice"),
    Case("deploy", "{folder}/alice2 --name alice"),
    Case("deploy", "{folder}/logs --name alice", 1),
    Case("versions", "alice"),
    Case("versions", "zzz", 1),
    Case("rollback", "alice"),
    Case("build", "alice"),
    Case("build", "wreck", 1),
    Case("replace", "alice-2 --limit-price 91"),
    Case("replace", "alice-1 --qty 5", 1),
    Case("cancel", "bob-1"),
    Case("cancel", "alice-1", 1),
    Case("kill", "--strategy alice --cancel --reason test"),
    Case("kill", "--strategy zzz --reason test", 1),
    Case("release", "--strategy alice --reason test"),
    Case("release", "--strategy bob --reason test", 1),
    Case("reconcile"),
    Case("reconcile", "--resolve AAPL --reason test", 1),
    Case("token", "alice"),
    Case("token", "bob", 1),
    Case("jobs"),
    Case("jobs run", "report"),
    Case("jobs run", "backup", 1),
    Case("jobs"),
    Case("report", "", 1),
    Case("report", "--list"),
    Case("notify retry", "", 1),
    Case("notify test", "risk", 1),
    Case("notify send", "risk hello", 1),
    Case("notify list"),
    Case("config check"),
    Case("config check", "{folder}/bad.toml", 1),
    Case("config show"),
    Case("config show", "zzz", 1),
    Case("config reload", "--dry-run"),
    Case("jail test"),
    Case("audit sign"),
    Case("audit sign"),
    Case("audit roots"),
    Case("audit roots", "--db {folder}/bad.toml", 1),
    Case("audit verify", "--db {folder}/life.db"),
    Case("audit verify", "--db {folder}/bad.toml", 1),
    Case("audit export", "--db {folder}/desk.db --out {folder}/facts.jsonl"),
    Case("audit export", "--db {folder}/bad.toml --out {folder}/none.jsonl", 1),
    Case("audit rebuild", "{folder}/facts.jsonl --db {folder}/again.db"),
    Case("audit rebuild", "{folder}/bad.toml --db {folder}/none.db", 1),
    Case("backup", "{folder}/copy.db"),
    Case("backup", "{folder}/copy.db", 1),
    Case("replay", "--ledger {folder}/life.db"),
    Case("replay", "--ledger {folder}/bad.toml", 1),
)


def strict(value: Any) -> Any:
    """Return the schema with no field allowed that it does not name: ours, to find what nobody documented."""
    match value:
        case {"properties": dict()}:
            return {key: strict(item) for key, item in value.items()} | {"additionalProperties": False}
        case dict():
            return {key: strict(item) for key, item in value.items()}
        case list():
            return [strict(item) for item in value]
        case _:
            return value


def misfits(command: str, said: Said) -> Iterator[str]:
    """Yield where what was printed is not as documented."""
    outputs = OUTPUTS[command]
    judge = Draft202012Validator(strict(schema(command, *outputs)))
    values = said.out.splitlines() if outputs[0].is_each_line else [said.out]
    for text in values:
        for error in judge.iter_errors(json.loads(text)):
            yield f"{error.json_path}: {error.message}"[:2_000]


def test_every_command_with_json_is_documented() -> None:
    """Whoever adds a command adds what it prints, and every command takes --json."""
    assert {name for name, command in commands().items() if takes_json(command)} == set(OUTPUTS)
    assert {name for name, command in commands().items() if not takes_json(command)} == NO_JSON


def test_every_field_and_every_form_has_words() -> None:
    """A name alone is no documentation."""
    for command, outputs in OUTPUTS.items():
        made = schema(command, *outputs)
        for name, part in made["$defs"].items():
            assert part["description"], name
            for field, rule in part.get("properties", {}).items():
                assert rule.get("description") or "Row" in name or "Day" in name or name == "EventLine", field


def test_every_schema_is_one_and_none_is_left_over() -> None:
    """A validator takes them as they lie there."""
    for _, text in schemas():
        Draft202012Validator.check_schema(json.loads(text))
    there = {path.relative_to(ROOT).as_posix() for path in (ROOT / FOLDER).iterdir()}
    assert there == {name for name, _ in schemas()}


def test_what_nobody_documented_does_not_pass() -> None:
    """The judge of these tests finds a field too many, one too few, and money that is a number."""
    good = {"strategy_id": "a", "token": "b"}
    assert list(misfits("token", Said(0, json.dumps(good), ""))) == []
    for bad in (good | {"more": 1}, {"token": "b"}, good | {"token": 1}):
        assert list(misfits("token", Said(0, json.dumps(bad), "")))


def prepared(folder: Path) -> None:
    for name, source in (("alice", "print(1)"), ("alice2", "print(2)")):
        (folder / name).mkdir()
        (folder / name / "strategy.py").write_text(source)
    (folder / "bad.toml").write_text("[sandbox]\npids = 1\n")


def lines(case: Case, folder: Path) -> list[str]:
    return [*case.command.split(), *case.arguments.format(folder=folder).split(), "--json"]


async def test_every_command_prints_what_is_documented_and_ends_as_promised(tmp_path: Path) -> None:
    """0 done and 1 refused, on a desk that answers; what is printed with either is as its schema says."""
    prepared(tmp_path)
    await written(tmp_path / "life.db", a_life(1, 60))
    wrong: dict[str, object] = {}
    async with a_running_desk(tmp_path) as desk:
        desk.desk.calendar = {DAY.day: DAY}
        desk.runs.log_path(StrategyId("alice")).write_text("one\ntwo\n")
        for case in CASES:
            said = await ctl(desk.config, *lines(case, tmp_path))
            name = f"{case.command} {case.arguments}"
            if said.code != case.code:
                wrong[name] = said
            elif said.out and (found := list(misfits(case.command, said))):
                wrong[name] = found
            elif not said.out and case.code == 0:
                wrong[name] = "nothing was printed"
            elif not said.out and len(said.err.splitlines()) != 1:
                wrong[name] = said.err
    assert wrong == {}


async def test_notifications_are_as_documented(tmp_path: Path) -> None:
    """With routes, there is something to list, to retry and to test."""
    keep_a_dead_one(tmp_path)
    async with a_running_desk(tmp_path) as desk:
        desk.fates.update(club="", phone="")
        for command, arguments in (
            ("notify test", "risk"),
            ("notify send", "scanner hello"),
            ("notify list", ""),
            ("notify retry", ""),
        ):
            said = await ctl(desk.config, *lines(Case(command, arguments), tmp_path))
            assert (said.code, list(misfits(command, said))) == (0, []), said


async def test_a_wrong_file_at_a_reload_is_told_as_documented(tmp_path: Path) -> None:
    """With 1, and all its problems."""
    async with a_running_desk(tmp_path) as desk:
        desk.reload_problems.append("desk.toml:1:1: wrong")
        said = await ctl(desk.config, "config", "reload", "--json")
        assert (said.code, list(misfits("config reload", said))) == (1, []), said
        desk.runs.has_jails = False
        assert (await ctl(desk.config, "jail", "test", "--json")).code == 1


async def test_a_member_sees_less_and_in_the_same_form(tmp_path: Path) -> None:
    """What officers only may see may lack, and what officers only may do ends with 1."""
    async with a_running_desk(tmp_path, caller=MEMBER) as desk:
        for command in ("orders", "positions", "account", "runs", "outages", "why alice-1"):
            said = await ctl(desk.config, *command.split(), "--json")
            assert (said.code, list(misfits(command.split()[0], said))) == (0, []), said
        for command in ("orders --strategy bob", "stop bob", "token alice", "audit sign", "kill --reason x"):
            assert (await ctl(desk.config, *command.split(), "--json")).code == 1


@pytest.mark.parametrize("command", sorted(commands()))
async def test_wrong_usage_ends_with_two(command: str, tmp_path: Path) -> None:
    """Whatever the desk is doing: it is not asked."""
    (tmp_path / "desk.toml").touch()
    said = await ctl(tmp_path / "desk.toml", *command.split(), "--no-such-option")
    assert (said.code, said.out) == (2, "")
    assert "no such option" in said.err.lower()


@pytest.mark.parametrize("command", sorted(set(commands()) - NEEDS_NO_DESK))
async def test_without_a_desk_it_ends_with_three(command: str, tmp_path: Path) -> None:
    """One sentence says which socket was tried and how to start the desk."""
    prepared(tmp_path)
    (tmp_path / "desk.toml").touch()
    case = next(case for case in [*CASES, Case("top"), Case("notify list")] if case.command == command)
    said = await ctl(tmp_path / "desk.toml", *lines(case, tmp_path))
    assert (said.code, said.out) == (3, "")
    assert said.err.startswith(f"deskctl: no desk is reachable at {tmp_path}/var/run/control.sock: ")


def test_every_command_has_its_cases() -> None:
    """One that is done, one that is refused: an exit code that nobody tried is no promise."""
    elsewhere = {
        "top",
        "doctor",
        "handover",
        "notify retry",
        "notify test",
        "notify send",
        "report",
        "config reload",
        "jail test",
    }
    elsewhere |= {"run", "backtest"}  # tests/whole/test_trial.py and test_backtest.py
    done = {case.command for case in CASES if case.code == 0} | elsewhere | {"completion"}
    refused = {case.command for case in CASES if case.code == 1} | elsewhere | NEVER_REFUSED | {"audit sign"}
    assert set(commands()) - done == set()
    assert set(commands()) - refused == set()
