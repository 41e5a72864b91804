"""Names in desk.toml, addresses in a file of their own: what is wrong is named, and no address is ever shown."""

from pathlib import Path

import pytest

from deskd.alerts.routes import CREDENTIAL, Routes, changes_of_routes, file_of_routes, plan_of, read_routes
from deskd.config import Config, NotifySection
from deskd.domain.errors import ConfigError
from deskd.domain.ids import UserId
from deskd.domain.notifications import Topic

GOOD = '[routes]\nclub = "json://s3cr3t@127.0.0.1"\nphone = "ntfys://t0k3n"\n[members]\nann = ["phone"]\n'


def a_file(folder: Path, text: str = GOOD, mode: int = 0o600) -> Path:
    file = folder / CREDENTIAL
    file.write_text(text)
    file.chmod(mode)
    return file


def test_topics_and_members_have_their_routes(tmp_path: Path) -> None:
    """From the file that desk.toml names, else from systemd's credential."""
    section = NotifySection(routes_file=a_file(tmp_path), paper_trading=("club",), digest_s=30)
    routes = read_routes(section, {})
    assert routes.addresses["club"] == "json://s3cr3t@127.0.0.1"
    assert read_routes(NotifySection(), {"CREDENTIALS_DIRECTORY": str(tmp_path)}) == routes
    plan = plan_of(Config(notify=section), routes)
    assert (plan.topics[Topic.PAPER_TRADING], plan.topics[Topic.RISK]) == (("club",), ())
    assert (plan.members, plan.digest.total_seconds(), plan.is_live) == ({UserId("ann"): ("phone",)}, 30, False)


def test_without_a_file_there_are_no_routes(tmp_path: Path) -> None:
    """A desk that nobody configured sends nothing, and starts no worker."""
    assert read_routes(NotifySection(), {}).addresses == {}
    assert read_routes(NotifySection(), {"CREDENTIALS_DIRECTORY": str(tmp_path)}).addresses == {}


def test_a_credential_that_names_nobody_is_no_route(tmp_path: Path) -> None:
    """Empty, or the comment that the unit has in its place: the desk starts, and tells nobody."""
    for text in ("", "# none"):
        a_file(tmp_path, text)
        assert read_routes(NotifySection(), {"CREDENTIALS_DIRECTORY": str(tmp_path)}).addresses == {}


def test_people_look_where_the_unit_loads_them_from(tmp_path: Path) -> None:
    """A credential lies in no officer's environment; what the desk itself has counts first."""
    file = a_file(tmp_path)
    assert read_routes(NotifySection(), {}, file).addresses.keys() == {"club", "phone"}
    assert read_routes(NotifySection(), {}, tmp_path / "none").addresses == {}
    assert file_of_routes(NotifySection(), {"CREDENTIALS_DIRECTORY": str(tmp_path)}, tmp_path / "x") == file


def test_what_a_reload_changes_is_named_without_addresses() -> None:
    """Which names came, went and have another address; who has which."""
    old = Routes(addresses={"a": "x://1", "b": "x://2"}, members={UserId("ann"): ("a",)})
    new = Routes(addresses={"b": "x://3", "c": "x://4"}, members={UserId("ann"): ("b", "c")})
    assert [(change.key, change.old, change.new) for change in changes_of_routes(old, new)] == [
        ("routes.a", "***", "-"),
        ("routes.b", "***", "***"),
        ("routes.c", "-", "***"),
        ("members.ann", "a", "b, c"),
    ]
    assert changes_of_routes(new, new) == ()


def test_routes_are_shown_by_name_alone(tmp_path: Path) -> None:
    """In a log, a traceback, a page."""
    routes = read_routes(NotifySection(routes_file=a_file(tmp_path)), {})
    assert f"{routes} {routes!r}" == "Routes(club, phone) Routes(club, phone)"


@pytest.mark.parametrize(
    ("text", "mode", "why"),
    [
        (GOOD, 0o644, "everybody can read or write it, and addresses hold secrets: chmod 0600"),
        ("[routes]\nx = json://s3cr3t", 0o600, "is not TOML"),
        ("[route]\n", 0o600, r"\[route\]: no such section"),
        ("routes = 5", 0o600, "are sections"),
        ('[routes]\nx = "s3cr3t"', 0o600, r"routes.x: is no address \(not shown\)"),
        ('[routes]\nclub = "json://s3cr3t"\n[members]\nann = ["clup"]', 0o600, 'no route "clup"; did you mean "club"'),
        ('[members]\nann = ["club"]', 0o600, "there are: none"),
        ('[members]\nann = "club"', 0o600, "write a list of routes"),
        ("x" * 70_000, 0o600, "has 70000 bytes"),
    ],
)
def test_a_wrong_file_is_named_with_rule_and_remedy(tmp_path: Path, text: str, mode: int, why: str) -> None:
    """And never with what stands in it."""
    with pytest.raises(ConfigError, match=why) as raised:
        read_routes(NotifySection(routes_file=a_file(tmp_path, text, mode)), {})
    assert "s3cr3t" not in str(raised.value)
    assert str(tmp_path) in str(raised.value)


def test_a_topic_without_its_route_is_an_error(tmp_path: Path) -> None:
    """An alarm that goes nowhere would be noticed too late."""
    file = a_file(tmp_path)
    with pytest.raises(ConfigError, match=r'notify.risk: there is no route "clup" in .*did you mean "club"'):
        read_routes(NotifySection(routes_file=file, risk=("clup",)), {})
    with pytest.raises(ConfigError, match=r"there is no file of routes: set notify.routes_file"):
        read_routes(NotifySection(risk=("club",)), {})
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        read_routes(NotifySection(routes_file=tmp_path / "none"), {})
