"""What a start of the exchange is told, and how it says that it was told wrong."""

from pathlib import Path

import pytest

from deskd.config import ExchangeSection
from deskd.domain.errors import ConfigError
from deskd.venue.settings import EMBEDDED_KEY, Keys, keys_from, settings_from

KEYS = Keys(key_id="id", secret_key="secret")


def test_keys_come_from_the_environment() -> None:
    """Where the environment names both keys, they are the ones."""
    assert keys_from({"APCA_API_KEY_ID": "a", "APCA_API_SECRET_KEY": "b"}) == Keys(key_id="a", secret_key="b")


def test_without_keys_the_embedded_ones_hold() -> None:
    """Where the environment names none, both are `embedded`, and the settings remember it."""
    assert keys_from({}) == Keys(key_id=EMBEDDED_KEY, secret_key=EMBEDDED_KEY, is_default=True)


@pytest.mark.parametrize("name", ["APCA_API_KEY_ID", "APCA_API_SECRET_KEY"])
def test_half_a_pair_of_keys_is_an_error_that_names_the_other_half(name: str) -> None:
    """One key alone is a mistake, never a reason to fall back."""
    missing = {"APCA_API_KEY_ID": "APCA_API_SECRET_KEY", "APCA_API_SECRET_KEY": "APCA_API_KEY_ID"}[name]
    with pytest.raises(ConfigError, match=missing):
        keys_from({name: "x"})


@pytest.mark.parametrize(
    ("listen", "address"),
    [("127.0.0.1:0", ("127.0.0.1", 0)), ("localhost:8080", ("localhost", 8080)), ("[::1]:90", ("::1", 90))],
)
def test_listen_is_host_and_port(listen: str, address: tuple[str, int]) -> None:
    """HOST:PORT is read, IPv6 in brackets too."""
    assert settings_from(ExchangeSection(listen=listen), state=None, keys=KEYS).address == address


@pytest.mark.parametrize("listen", ["", "8080", "127.0.0.1:", ":80", "127.0.0.1:http", "127.0.0.1:70000", "h:-1"])
def test_a_bad_address_is_named_with_the_remedy(listen: str) -> None:
    """An address that cannot be read is quoted, and the error shows a good one."""
    with pytest.raises(ConfigError, match=r"exchange\.listen.*127\.0\.0\.1:0"):
        _ = settings_from(ExchangeSection(listen=listen), state=None, keys=KEYS).address


def test_settings_say_what_the_section_says() -> None:
    """Nothing of `[exchange]` is lost on the way, and faults stay shut unless asked for."""
    section = ExchangeSection(tape=("a.csv", "b.csv"), speed=0, loop=False, seed=7, fills="immediate", start="09:30")
    settings = settings_from(section, state=Path("x.db"), keys=KEYS)
    assert (settings.tape, settings.speed, settings.loop, settings.seed) == (("a.csv", "b.csv"), 0, False, 7)
    assert (settings.fills, settings.start, settings.state) == ("immediate", "09:30", Path("x.db"))
    assert not settings.faults
