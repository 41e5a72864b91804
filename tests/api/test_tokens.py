"""A token stands for one strategy of one desk."""

from pathlib import Path

import pytest

from deskd.api import tokens
from deskd.api.tokens import Tokens
from deskd.domain.errors import ConfigError
from tests.factories import ALICE, BOB


def test_a_token_names_whose_it_is() -> None:
    """What was issued is recognised."""
    issued = Tokens(b"k" * 32).issue(ALICE)
    assert Tokens(b"k" * 32).strategy_of(issued) == ALICE


@pytest.mark.parametrize(
    "forged", ["", "alice", "alice.", ".", "alice.0123", "alice.ü", "../x.00", Tokens(b"other key").issue(ALICE)]
)
def test_nobody_can_make_one_up(forged: str) -> None:
    """Any text that this desk did not issue is nobody's."""
    assert Tokens(b"k" * 32).strategy_of(forged) is None


def test_a_token_cannot_be_passed_on_to_another_name() -> None:
    """Alice's mac under Bob's name is nobody's."""
    mac = Tokens(b"k" * 32).issue(ALICE).partition(".")[2]
    assert Tokens(b"k" * 32).strategy_of(f"{BOB}.{mac}") is None


def test_the_key_is_made_once_and_for_the_desk_alone(tmp_path: Path) -> None:
    """Tokens outlive a restart; nobody else can read the key."""
    path = tmp_path / "token.key"
    issued = tokens.load(path).issue(ALICE)
    assert tokens.load(path).strategy_of(issued) == ALICE
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_broken_key_is_refused_with_the_remedy(tmp_path: Path) -> None:
    """A key cut short by a full disk is not used."""
    path = tmp_path / "token.key"
    path.write_bytes(b"short")
    with pytest.raises(ConfigError, match="remove it"):
        tokens.load(path)
