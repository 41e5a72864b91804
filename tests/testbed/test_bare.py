"""`make install` as on any machine: pip, useradd, a unit that starts; what cannot be had changes nothing."""

import os
from pathlib import Path
from typing import Any

import pytest

from tests.testbed.bed import NoBed, facts, prepare_bare, record

pytestmark = [
    pytest.mark.needs_testbed,
    pytest.mark.timeout(1_800),
    pytest.mark.skipif(
        "DESKD_BARE_BED" not in os.environ,
        reason="an install with pip takes the bed several minutes: `make bed` runs it (DESKD_BARE_BED=1)",
    ),
]
LIMIT_S = 1_200  # pip unpacks three times, and every system call is slow there


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return what was seen on it."""
    try:
        bed = prepare_bare()
    except NoBed as why:
        pytest.skip(str(why))
    out: Path = tmp_path_factory.mktemp("out")
    ran = bed.boot("python3 tests/testbed/guest/bare.py", out, limit_s=LIMIT_S)
    seen = facts(out)
    record("bare", seen, is_whole=ran.returncode == 0)
    assert ran.returncode == 0, f"{ran.stdout[-2000:]}\n{ran.stderr[-2000:]}"
    return seen


def test_pip_installs_what_is_pinned_by_its_hashes(bare: dict[str, Any]) -> None:
    """Into a fresh environment, complete."""
    code, said = bare["install"]
    assert code == 0, said
    assert "pinned packages" in said
    assert "is installed" in said
    assert bare["packages"] == [0, "No broken requirements found."]
    assert bare["check"] == [0, "/etc/deskd/desk.toml: good"]


def test_users_are_made_without_sysusers(bare: dict[str, Any]) -> None:
    """By useradd and groupadd: a system user without a shell, whose home is the state."""
    assert all(code != 0 for code in bare["before"])
    name, _, uid, _, _, home, shell = bare["passwd"].split(":")
    assert (name, home, shell) == ("deskd", "/var/lib/deskd", "/usr/sbin/nologin")
    assert int(uid) < 1_000
    assert bare["groups"] == 0


def test_the_profile_compiles(bare: dict[str, Any]) -> None:
    """AppArmor's own compiler takes it; a kernel that loads it is not to be had here."""
    assert bare["profile"][0] == 0, bare["profile"]


def test_what_pip_installed_trades(bare: dict[str, Any]) -> None:
    """Under the unit, in jails, from the first start on."""
    assert bare["start"][0] == 0, bare["start"]
    assert bare["traded"]
    found = {check["check"]: check["verdict"] for check in bare["doctor"]}
    assert {found[name] for name in ("nsjail", "jail", "set-up", "desk", "configuration", "notifications")} == {"good"}


def test_a_package_that_cannot_be_had_changes_nothing(bare: dict[str, Any]) -> None:
    """Missing, or another than was pinned: it is said, and the version before stays."""
    for what in ("lacking", "changed"):
        code, said = bare[what]
        assert (code, "could not be installed" in said) == (1, True), said
    assert "aiohttp" in bare["lacking"][1]
    assert "hash" in bare["changed"][1].lower()
    assert bare["lacking_version"] == bare["version"]


def test_an_upgrade_by_pip_goes_back_as_well(bare: dict[str, Any]) -> None:
    """A version is a folder with its own environment."""
    assert bare["upgrade"][0] == 0, bare["upgrade"]
    assert bare["upgrade_version"] != bare["version"]
    assert bare["restart"] == [0, ""]
    assert bare["previous"][0] == 0
    assert bare["previous_version"] == bare["version"]
    assert bare["uninstall"][0] == 0
