"""The commands that the contract names are there, with their options, and their exit codes are stable."""

import pytest
from click.testing import CliRunner

from deskd.cli import daemon, deskctl

CONTRACT = {
    "status": ["--json"],
    "start": ["--all", "--json"],
    "stop": ["--all", "--json"],
    "restart": ["--all", "--json"],
    "pause": ["--all", "--json"],
    "resume": ["--all", "--json"],
    "shadow": ["--all", "--json"],
    "activate": ["--all", "--json"],
    "logs": ["-f", "--tail", "--json"],
    "orders": ["--strategy", "--json"],
    "fills": ["--strategy", "--json"],
    "positions": ["--strategy", "--json"],
    "account": ["--strategy", "--json"],
    "why": ["--json"],
    "cancel": ["--strategy", "--all", "--json"],
    "kill": ["--strategy", "--user", "--symbol", "--cancel", "--flatten", "--reason", "--json"],
    "release": ["--reason", "--json"],
    "reconcile": ["--json"],
    "config check": ["--json"],
    "config show": ["--json"],
    "config reload": ["--json"],
    "events": ["--json"],
    "jobs": ["--json"],
    "report": ["--json"],
    "doctor": ["--json"],
    "audit verify": ["--json"],
    "audit export": ["--json"],
    "jail test": ["--json"],
    "check": ["--json"],
    "new": ["--template", "--json"],
    "top": ["--json"],
    "deploy": ["--as", "--json"],
    "rollback": ["--json"],
    "versions": ["--json"],
    "token": ["--json"],
    "run": ["--tape", "--speed", "--cash", "--json"],
    "backtest": ["--tape", "--seed", "--cash", "--out", "--json"],
    "replay": ["--ledger", "--to", "--json"],
}


@pytest.mark.parametrize("command", CONTRACT)
def test_a_command_of_the_contract_is_there_with_its_options(command: str) -> None:
    """Scripts rely on them, word for word."""
    shown = CliRunner().invoke(deskctl.cli, [*command.split(), "--help"])
    assert shown.exit_code == 0
    assert [option for option in CONTRACT[command] if option not in shown.output] == []


DAEMON = {
    "run": ["--config"],
    "exchange": ["--config", "--listen", "--tape", "--speed", "--state", "--seed"],
    "record": ["--config", "--day", "--out"],
}


@pytest.mark.parametrize("command", DAEMON)
def test_a_command_of_the_daemon_is_there_with_its_options(command: str) -> None:
    """The unit, and whoever runs the exchange alone or records a tape, call them so."""
    shown = CliRunner().invoke(daemon.cli, [command, "--help"])
    assert shown.exit_code == 0
    assert [option for option in DAEMON[command] if option not in shown.output] == []


def test_exit_codes_are_told_and_stable() -> None:
    """0 done, 1 refused or failed, 2 usage, 3 desk not reachable."""
    assert (deskctl.REFUSED, deskctl.NOT_REACHABLE) == (1, 3)
    assert CliRunner().invoke(deskctl.cli, ["no-such"]).exit_code == 2
    assert "Exit codes: 0 done, 1 refused or failed, 2 usage, 3 desk not reachable" in (deskctl.__doc__ or "")
