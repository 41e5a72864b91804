"""The DESKD_ variables are read as their keys want them, and none that was meant for the desk is passed over."""

from pathlib import Path

import pytest

from deskd.config.environment import Variables, keys_of, misspelt
from deskd.config.leaves import leaves

KNOWN = leaves()


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("sandbox.pids", "99", 99),
        ("sandbox.cpu", "1", 1.0),
        ("sandbox.unsafe_without_jail", "yes", True),
        ("desk.name", "007", "007"),
        ("desk.db_path", "/srv/desk.db", Path("/srv/desk.db")),
        ("market.symbols", "IBM, BAC,", ["IBM", "BAC"]),
        ("market.symbols", "['IBM', \"BAC\"]", ["IBM", "BAC"]),
        ("market.symbols", "[IBM", ["[IBM"]),
        ("exchange.tape", '["a\\u0000b"]', ['["a\\u0000b"]']),
        ("exchange.tape", "[" * 5_000, ["[" * 5_000]),
        ("sandbox.pids", "many", "many"),
    ],
)
def test_a_text_becomes_what_its_key_wants_or_stays_a_text_to_be_refused(key: str, text: str, value: object) -> None:
    """A variable needs no quotes, and what cannot be read is left for the loader to name."""
    section, name = key.split(".")
    assert Variables({key: text})()[section] == {name: value}


def test_the_process_environment_is_never_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the mapping that was handed in counts."""
    monkeypatch.setenv("DESKD_SANDBOX__PIDS", "99")
    assert Variables({})() == {}


def test_a_new_name_wins_over_the_first_desks() -> None:
    """DB_PATH is honoured until somebody says it in today's words."""
    environment = {"DESKD_DESK__DB_PATH": "/new", "DB_PATH": "/old"}
    assert [found[2] for found in keys_of(environment, KNOWN)] == ["DB_PATH", "DESKD_DESK__DB_PATH"]


def test_port_is_no_error_while_there_is_no_web_section() -> None:
    """Hosts that set PORT for every service do not keep the desk from starting."""
    environment = {"PORT": "8080"}
    assert list(keys_of(environment, KNOWN)) == []
    assert list(misspelt(environment, KNOWN)) == []


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("DESKD_SANDBOX__CPUS", "did you mean DESKD_SANDBOX__CPU?"),
        ("DESKD_SANDBOX_CPU", "did you mean DESKD_SANDBOX__CPU?"),
        ("DESKD_LOG_LEVEL", "did you mean DESKD_LOG__LEVEL?"),
        ("DESKD_QQQ__QQQ", "`deskctl config show` lists all keys"),
    ],
)
def test_a_variable_that_names_no_key_is_told_with_the_nearest(name: str, hint: str) -> None:
    """pydantic-settings passes these over; the desk does not."""
    (problem,) = misspelt({name: "1"}, KNOWN)
    assert problem.startswith(f"{name}: there is no key")
    assert hint in problem


def test_variables_of_others_are_left_alone() -> None:
    """Neither other programs' variables nor empty ones are the desk's business."""
    environment = {"DESKD_TEST_DATA": "/x", "PATH": "/bin", "SANDBOX__CPU": "2", "DESKD_SANDBOX__CPUS": ""}
    assert list(keys_of(environment, KNOWN)) == []
    assert list(misspelt(environment, KNOWN)) == []
