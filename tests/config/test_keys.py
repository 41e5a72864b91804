"""The broker's keys come from the environment or from systemd's credentials."""

from pathlib import Path

import pytest

from deskd.alerts.routes import CREDENTIAL
from deskd.config.keys import ID_CREDENTIAL, SECRET_CREDENTIAL, BrokerKeys, read_keys
from deskd.domain.errors import ConfigError


@pytest.mark.parametrize(
    "environment",
    [
        {"APCA_API_KEY_ID": "PK1", "APCA_API_SECRET_KEY": "s3cret"},
        {"ALPACA_API_KEY": " PK1\n", "ALPACA_SECRET_KEY": "s3cret"},
    ],
)
def test_both_pairs_of_names_are_honoured(environment: dict[str, str]) -> None:
    """Either spelling works; the spaces of a copy are not part of a key."""
    assert read_keys(environment) == ("PK1", "s3cret")


def test_credentials_of_the_unit_are_read(tmp_path: Path) -> None:
    """LoadCredential= gives the keys without an environment."""
    (tmp_path / "alpaca_key_id").write_text("PK1\n")
    (tmp_path / "alpaca_secret_key").write_text("s3cret\n")
    assert read_keys({"CREDENTIALS_DIRECTORY": str(tmp_path)}) == ("PK1", "s3cret")


def test_no_keys_are_no_keys(tmp_path: Path) -> None:
    """The embedded desk needs none."""
    assert read_keys({"CREDENTIALS_DIRECTORY": str(tmp_path)}) is None


@pytest.mark.parametrize(
    ("environment", "problem"),
    [
        ({"APCA_API_KEY_ID": "PK1"}, "APCA_API_SECRET_KEY: is not set, but APCA_API_KEY_ID is; set both or neither"),
        ({"ALPACA_SECRET_KEY": "s"}, "ALPACA_API_KEY: is not set, but ALPACA_SECRET_KEY is; set both or neither"),
        ({"APCA_API_KEY_ID": "PK 1", "APCA_API_SECRET_KEY": "s"}, "APCA_API_KEY_ID: is not a key"),
    ],
)
def test_half_a_pair_and_broken_keys_are_refused_by_name(environment: dict[str, str], problem: str) -> None:
    """The variable is named, the value is not shown."""
    with pytest.raises(ConfigError) as caught:
        read_keys(environment)
    assert str(caught.value).startswith(problem)
    assert "PK 1" not in str(caught.value)


def test_keys_are_never_shown() -> None:
    """A key pair in a message or a traceback is masked."""
    keys = BrokerKeys("PK1", "s3cret")
    assert "s3cret" not in f"{keys} {keys!r} {[keys]}"
    assert "PK1" not in f"{keys} {keys!r}"


def test_no_file_of_secrets_is_ever_taken_into_the_repository() -> None:
    """Who keeps the credentials beside the checkout's desk.toml commits none of them by mistake."""
    ignored = (Path(__file__).parents[2] / ".gitignore").read_text().split()
    assert {".env", ID_CREDENTIAL, SECRET_CREDENTIAL, CREDENTIAL, "var/"} <= set(ignored)
