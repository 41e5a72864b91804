"""deskd.service agrees with the code: what can be read off the file, without a systemd (tests/testbed boots it)."""

from pathlib import Path

import pytest
from annotated_types import Le

from deskd.alerts.office import END_S
from deskd.alerts.routes import CREDENTIAL
from deskd.app.stopping import CANCEL_S, CLOSE_S, LAST_FACT_S, stop_max_s
from deskd.cli.daemon import CONFIG_WRONG
from deskd.cli.place import INSTALLED
from deskd.config import Config
from deskd.config.keys import ID_CREDENTIAL, SECRET_CREDENTIAL
from deskd.config.settings import SandboxSection
from deskd.venue.child import STOP_S

ROOT = Path(__file__).parents[1]
# SYSTEMD.md: each of them breaks jails
FORBIDDEN = {
    "ProtectControlGroups=yes",
    "ProtectHostname=yes",
    "PrivateUsers=yes",
    "RestrictNamespaces=yes",
    "MemoryDenyWriteExecute=yes",
    "LimitCORE=0",
    "KillMode=process",
    "KillMode=control-group",
}


@pytest.fixture(scope="module")
def lines() -> list[str]:
    text = (ROOT / "deskd.service").read_text()
    return [line for line in text.splitlines() if line and not line.startswith(("#", "["))]


def value(lines: list[str], name: str) -> str:
    [found] = [line.partition("=")[2] for line in lines if line.startswith(f"{name}=")]
    return found


def test_systemd_waits_for_every_stage_of_a_stop(lines: list[str]) -> None:
    """Runs end, orders are canceled, the last fact is written and told, what is left is closed, the exchange ends: then SIGKILL.

    A longer grace than the unit's own timeout allows is told to systemd when the stop begins: tests/app/test_run.py.
    """
    grace = Config().sandbox.stop_grace_s
    stages = (grace + CLOSE_S) + CANCEL_S + LAST_FACT_S + END_S + (grace + CLOSE_S) + STOP_S
    assert stop_max_s(grace) == stages
    assert stages < float(value(lines, "TimeoutStopSec"))
    assert value(lines, "Type") in {"notify", "notify-reload"}  # only these are heard when they ask for more


def test_no_grace_is_so_long_that_a_stop_takes_half_an_hour() -> None:
    """A machine that shuts down waits that long and no longer (systemd.special(7): shutdown.target's own jobs)."""
    [most] = [rule.le for rule in SandboxSection.model_fields["stop_grace_s"].metadata if isinstance(rule, Le)]
    assert stop_max_s(float(most)) < 1800  # type: ignore[arg-type]


def test_a_wrong_configuration_is_not_started_again(lines: list[str]) -> None:
    """The code's own number stands in the unit."""
    assert value(lines, "RestartPreventExitStatus") == str(CONFIG_WRONG)


def test_the_unit_finds_configuration_and_keys_where_the_desk_does(lines: list[str]) -> None:
    """The names are the code's."""
    assert value(lines, "ExecStart").endswith(f"run --config {INSTALLED}")
    loaded = {line.partition("=")[2].partition(":")[0] for line in lines if line.startswith("LoadCredential=")}
    assert loaded == {ID_CREDENTIAL, SECRET_CREDENTIAL, CREDENTIAL}
    assert value(lines, "SetCredential").partition(":")[0] == CREDENTIAL  # where its file is not there


def test_nothing_that_breaks_jails_is_in_the_unit(lines: list[str]) -> None:
    """Whoever hardens it further is told here, not by members whose runs do not start."""
    assert FORBIDDEN.isdisjoint(lines)
    assert "AF_NETLINK" in value(lines, "RestrictAddressFamilies")
    assert set(value(lines, "RestrictNamespaces").split()) == {"user", "mnt", "pid", "net", "ipc", "uts", "cgroup"}
    assert set(value(lines, "Delegate").split()) == {"cpu", "memory", "pids"}


def test_the_desk_gets_three_rights_and_cannot_get_more(lines: list[str]) -> None:
    """One uid per strategy takes SETUID, SETGID and CHOWN."""
    wanted = {"CAP_SETUID", "CAP_SETGID", "CAP_CHOWN"}
    assert set(value(lines, "AmbientCapabilities").split()) == wanted
    assert set(value(lines, "CapabilityBoundingSet").split()) == wanted
    assert value(lines, "NoNewPrivileges") == "yes"


def test_processes_are_bounded_by_cgroups_alone(lines: list[str]) -> None:
    """A bound per user would be shared by the desk and all jails of its uid: whose run is full would be nobody's to say."""
    assert value(lines, "LimitNPROC") == "infinity"
    assert int(value(lines, "TasksMax")) > 200 * Config().sandbox.pids  # members' own bound is far below it
