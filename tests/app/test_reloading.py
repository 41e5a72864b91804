"""Reading desk.toml again: judged first, on record before it counts, and nothing of a wrong file."""

from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from pathlib import Path

from structlog.testing import capture_logs

from deskd.alerts.routes import Routes, read_routes
from deskd.app.reloading import NO_FILE, Misfits, Reloading
from deskd.config import Config
from deskd.config.load import load
from deskd.domain import events as ev
from deskd.domain.ids import StrategyId
from deskd.ports import SystemClock
from tests.factories import ALICE

WRONG = '[risk.strategy]\nallocation = "much"\n[desk]\nnmae = "x"\n'


@dataclass
class Reread:
    """A desk that takes what it is given, and the order in which things happened."""

    file: Path
    config: Config = field(init=False)
    happened: list[str] = field(default_factory=list)
    misfits: dict[StrategyId, str] = field(default_factory=dict)
    routes: Routes = field(default_factory=Routes)
    reloading: Reloading = field(init=False)

    def __post_init__(self) -> None:
        self.file.write_text("")
        read = partial(load, self.file, root=self.file.parent, environment={})
        self.config = read().config
        self.reloading = Reloading(
            read=read,
            in_force=lambda: self.config,
            take=self._take,
            keep=self._keep,
            wall=SystemClock(),
            read_routes=lambda config: read_routes(config.notify, {}),
            routes=lambda: self.routes,
            take_routes=self._take_routes,
        )

    async def _take(self, config: Config, by: str) -> Misfits:
        self.config = config
        self.happened.append(f"taken by {by}")
        return self.misfits

    def _take_routes(self, config: Config, routes: Routes) -> None:
        assert config is self.config
        self.routes = routes

    async def _keep(self, fact: ev.CommandGiven) -> None:
        self.happened.append(f"{fact.by}: {fact.command}: {fact.arguments}")


async def test_what_changed_is_on_record_before_it_counts(tmp_path: Path) -> None:
    """Who, which key, from what to what; what waits for a restart is named, and stays."""
    desk = Reread(tmp_path / "desk.toml")
    desk.file.write_text('[risk.strategy]\nallocation = "500"\n[api]\nlocal_port = 8080\n')
    with capture_logs() as told:
        reloaded = await desk.reloading.reload("ada (uid 0)")
    assert desk.happened == [
        f"ada (uid 0): config reload: {'; '.join(map(str, reloaded.changes))}",
        "taken by ada (uid 0)",
    ]
    assert [str(change) for change in reloaded.changes] == [
        "risk.strategy.allocation: 10000 -> 500 (applied)",
        "api.local_port: 0 -> 8080 (needs restart)",
    ]
    assert (desk.config.risk.strategy.allocation, desk.config.api.local_port) == (Decimal(500), 0)
    assert reloaded.in_words() == "desk.toml read, changes applied: 1; needs a restart: api.local_port"
    assert [(line["log_level"], line["key"]) for line in told if line["event"] == "config_changed"] == [
        ("info", "risk.strategy.allocation"),
        ("warning", "api.local_port"),
    ]


async def test_a_wrong_file_changes_nothing_and_all_is_said(tmp_path: Path) -> None:
    """Each problem with its place; the desk's one line tells until a good file was read."""
    desk = Reread(tmp_path / "desk.toml")
    before = desk.config
    desk.file.write_text(WRONG)
    with capture_logs() as told:
        reloaded = await desk.reloading.reload("SIGHUP")
    assert desk.config is before
    assert desk.happened == []
    assert [problem.split(": ")[0] for problem in reloaded.problems] == [f"{desk.file}:2:1", f"{desk.file}:4:1"]
    assert [line["problem"] for line in told if line["log_level"] == "error"] == list(reloaded.problems)
    assert desk.reloading.problem == reloaded.in_words()
    assert reloaded.in_words() == f"desk.toml is WRONG, nothing was changed: {reloaded.problems[0]} (and 1 more)"
    desk.file.write_text("")
    assert (await desk.reloading.reload("SIGHUP")).as_dict()["good"]
    assert not desk.reloading.problem
    assert desk.happened[0] == "SIGHUP: config reload: nothing changed"


async def test_a_dry_run_only_looks(tmp_path: Path) -> None:
    """Neither the desk nor its one line changes, of a good file or a wrong one."""
    desk = Reread(tmp_path / "desk.toml")
    desk.file.write_text('[desk]\nname = "x"\n')
    looked = await desk.reloading.reload("ada", is_dry=True)
    assert [change.key for change in looked.changes] == ["desk.name"]
    desk.file.write_text(WRONG)
    assert len((await desk.reloading.reload("ada", is_dry=True)).problems) == 2
    assert desk.happened == []
    assert desk.reloading.problem is None


async def test_strategies_that_no_longer_fit_are_named(tmp_path: Path) -> None:
    """Their members hear of it before they restart them."""
    desk = Reread(tmp_path / "desk.toml", misfits={ALICE: "limits.order_qty_max: 900 is looser"})
    desk.file.write_text('[risk.strategy]\norder_qty_max = "100"\n')
    with capture_logs() as told:
        reloaded = await desk.reloading.reload("ada")
    assert reloaded.as_dict()["misfits"] == {ALICE: "limits.order_qty_max: 900 is looser"}
    assert [line["strategy_id"] for line in told if line["event"] == "strategy_misfits"] == [ALICE]


async def test_a_desk_without_a_file_says_so(tmp_path: Path) -> None:
    """There is nothing to read again."""
    desk = Reread(tmp_path / "desk.toml")
    desk.reloading.read = None
    assert (await desk.reloading.reload("ada")).problems == (NO_FILE,)


async def test_a_fact_names_so_many_changes_and_counts_the_rest(tmp_path: Path) -> None:
    """The log has each."""
    desk = Reread(tmp_path / "desk.toml")
    named = "".join(f"[risk.strategies.s{number}]\nallocation = 5\n" for number in range(101))
    desk.file.write_text(named)
    await desk.reloading.reload("ada")
    assert desk.happened[0].endswith("; and 1 more")


async def test_routes_are_read_again_and_their_addresses_never_shown(tmp_path: Path) -> None:
    """Also where desk.toml is as it was: who hears of what changes at once, and which names, on record."""
    desk = Reread(tmp_path / "desk.toml")
    routes = tmp_path / "routes.toml"
    routes.write_text('[routes]\nclub = "json://s3cr3t@127.0.0.1"\n')
    routes.chmod(0o600)
    desk.file.write_text(f'[notify]\nroutes_file = "{routes}"\nrisk = ["club"]\n')
    reloaded = await desk.reloading.reload("ada")
    assert {change.key for change in reloaded.changes} == {
        "notify.routes_file",
        "notify.risk",
        "routes.club",
    }
    assert desk.routes.addresses == {"club": "json://s3cr3t@127.0.0.1"}
    routes.write_text('[routes]\nclub = "json://n3w@127.0.0.1"\n[members]\nann = ["club"]\n')
    reloaded = await desk.reloading.reload("ada")
    assert [str(change) for change in reloaded.changes] == [
        "routes.club: *** -> *** (applied)",
        "members.ann: - -> club (applied)",
    ]
    assert desk.routes.addresses == {"club": "json://n3w@127.0.0.1"}
    assert not any(secret in " ".join(desk.happened) for secret in ("s3cr3t", "n3w"))


async def test_a_wrong_file_of_routes_changes_nothing(tmp_path: Path) -> None:
    """Not the routes, and nothing else that desk.toml says in the same reload."""
    desk = Reread(tmp_path / "desk.toml")
    routes = tmp_path / "routes.toml"
    routes.write_text('[routes]\nclub = "json://127.0.0.1"\n')
    routes.chmod(0o600)
    section = f'[notify]\nroutes_file = "{routes}"\nrisk = ["club"]\n'
    desk.file.write_text(section)
    await desk.reloading.reload("ada")
    before, in_force = desk.config, desk.routes
    routes.write_text('[routes]\nclup = "json://127.0.0.1"\n')
    desk.file.write_text(f'{section}[risk.strategy]\nallocation = "500"\n')
    with capture_logs():
        reloaded = await desk.reloading.reload("ada")
    assert (desk.config, desk.routes) == (before, in_force)
    [problem] = reloaded.problems
    assert 'there is no route "club"' in problem
    assert "did you mean" in problem
