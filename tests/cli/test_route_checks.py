"""Routes are judged before somebody relies on them; no part of an address is in what is said."""

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from deskd.cli.check import Check
from deskd.cli.deskctl import cli
from deskd.cli.route_checks import examine_routes, installed_routes, problems_with_routes
from deskd.config import BrokerSection, Config, NotifySection

FILE = Path("/elsewhere/desk.toml")
SECRETS = ("s3cr3t-pass", "t0k3n-of-club")
NOBODY = 65_534


def an_address(port: int) -> str:
    return f"json://robot:{SECRETS[0]}@127.0.0.1:{port}/{SECRETS[1]}"


def a_desk_with(folder: Path, routes: str, **topics: tuple[str, ...]) -> Config:
    file = folder / "routes.toml"
    file.write_text(routes)
    file.chmod(0o600)
    named: dict[str, Any] = {"risk": ("club",), "system_alerts": ("club",)} | topics
    return Config(notify=NotifySection(routes_file=file, **named))


def look(config: Config, uid: int = 0) -> dict[str, Check]:
    return {check.check: check for check in examine_routes(config, FILE, {}, uid)}


@contextmanager
def a_listener() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def a_free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def test_good_routes_are_named_and_how_to_try_them(tmp_path: Path) -> None:
    """The host was there; whether the receiver takes a message, only a test tells."""
    with a_listener() as port:
        config = a_desk_with(tmp_path, f'[routes]\nclub = "{an_address(port)}"\n[members]\nann = ["club"]\n')
        found = look(config)
    assert list(found) == ["notifications"]
    assert found["notifications"].verdict == "good"
    assert "club; of members: ann; try them all: deskctl notify test" in found["notifications"].found


def test_a_host_that_is_not_there_is_a_warning(tmp_path: Path) -> None:
    """It may be back when it is needed; the route is named, the address is not."""
    found = look(a_desk_with(tmp_path, f'[routes]\nclub = "{an_address(a_free_port())}"\n'))["route club"]
    assert (found.verdict, "takes no connection" in found.found) == ("warning", True)
    assert "deskctl notify test" in str(found.remedy)
    assert not any(secret in f"{found}" for secret in (*SECRETS, "127.0.0.1"))


def test_a_route_that_nobody_has_is_told(tmp_path: Path) -> None:
    """Whoever wrote it there believes that somebody hears by it."""
    with a_listener() as port:
        routes = "".join(f'{name} = "{an_address(port)}"\n' for name in ("club", "phone", "spare"))
        config = a_desk_with(tmp_path, f'[routes]\n{routes}[members]\nann = ["phone"]\n')
        found = look(config)["notifications"]
    assert (found.verdict, found.found) == ("warning", "nobody is told by spare")


def test_an_address_that_nobody_knows_is_bad_and_fails_the_check(tmp_path: Path) -> None:
    """Before an alarm goes nowhere."""
    config = a_desk_with(tmp_path, f'[routes]\nclub = "carrier-pigeon://{SECRETS[0]}"\n')
    found = look(config)["route club"]
    assert (found.verdict, found.remedy) == ("bad", f"correct it in {tmp_path}/routes.toml")
    [problem] = problems_with_routes(config, FILE, {})
    assert problem.startswith("routes.club: apprise does not know")
    assert SECRETS[0] not in f"{found}{problem}"


def test_a_topic_that_must_not_be_missed_and_has_no_route_is_told(tmp_path: Path) -> None:
    """With the key to set."""
    with a_listener() as port:
        config = a_desk_with(tmp_path, f'[routes]\nclub = "{an_address(port)}"\n', risk=())
        found = look(config)["notifications"]
    assert (found.verdict, found.found, found.remedy) == (
        "warning",
        "no officer is told of risk",
        "set notify.risk",
    )


def test_no_routes_are_fine_for_play_money_alone() -> None:
    """A desk at a broker that tells nobody is one that nobody watches."""
    assert look(Config())["notifications"].verdict == "good"
    found = look(Config(broker=BrokerSection(mode="alpaca")))["notifications"]
    assert (found.verdict, "notify.routes_file" in str(found.remedy)) == ("warning", True)


def test_a_wrong_file_is_bad_with_its_remedy(tmp_path: Path) -> None:
    """The same words as at the desk's start."""
    config = a_desk_with(tmp_path, '[routes]\nclup = "json://127.0.0.1"\n')
    found = look(config)["notifications"]
    assert found.verdict == "bad"
    assert 'there is no route "club"' in found.found
    assert 'did you mean "clup"?' in str(found.remedy)
    [problem] = problems_with_routes(config, FILE, {})
    assert 'did you mean "clup"?' in problem


def test_a_file_that_the_desk_cannot_read_is_bad(tmp_path: Path) -> None:
    """Root reads everything, and would find it good."""
    with a_listener() as port:
        config = a_desk_with(tmp_path, f'[routes]\nclub = "{an_address(port)}"\n')
        file = tmp_path / "routes.toml"
        assert look(config, NOBODY)["notifications"].remedy == f"chown {NOBODY} {file}"
        if os.geteuid() == 0:
            os.chown(file, NOBODY, 0)
            assert look(config, NOBODY)["notifications"].verdict == "good"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_a_member_is_told_that_routes_are_not_theirs(tmp_path: Path) -> None:
    """And their check of desk.toml does not fail for it."""
    tmp_path.chmod(0o711)
    config = a_desk_with(tmp_path, '[routes]\nclub = "nonsense"\n')
    os.setegid(NOBODY)
    os.seteuid(NOBODY)
    try:
        if os.access(tmp_path, os.X_OK, effective_ids=True):  # pytest's own folders are root's
            assert look(config)["notifications"].verdict == "not yours"
            assert problems_with_routes(config, FILE, {}) == []
    finally:
        os.seteuid(0)
        os.setegid(0)


def test_only_an_installed_desk_has_routes_beside_its_configuration() -> None:
    """That is from where the unit loads them."""
    assert installed_routes(Path("/etc/deskd/desk.toml")) == Path("/etc/deskd/notification_routes")
    assert installed_routes(FILE) is None


def test_config_check_judges_them(tmp_path: Path) -> None:
    """With all else that is wrong."""
    routes = tmp_path / "routes.toml"
    routes.write_text('[routes]\nclub = "carrier-pigeon://x"\n')
    routes.chmod(0o600)
    file = tmp_path / "desk.toml"
    file.write_text(f'[notify]\nroutes_file = "{routes}"\nrisk = ["club"]\n')
    ran = CliRunner().invoke(cli, ["--config", str(file), "config", "check", "--json"])
    told = json.loads(ran.output)
    assert (ran.exit_code, told["good"], len(told["problems"])) == (1, False, 1)
    routes.write_text('[routes]\nclub = "json://127.0.0.1"\n')
    ran = CliRunner().invoke(cli, ["--config", str(file), "config", "check"])
    assert (ran.exit_code, ran.output) == (0, f"{file}: good\n")
