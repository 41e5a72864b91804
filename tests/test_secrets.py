"""What is known to be secret is found in any text, and nothing else is hidden."""

import hashlib

import pytest

from deskd.api.tokens import Tokens
from deskd.domain.ids import StrategyId
from deskd.secrets import MASK, Secrets, hiding

MAC = hashlib.sha256(b"x").hexdigest()


def test_every_known_text_is_hidden_the_longest_first() -> None:
    """One that holds another leaves nothing of itself."""
    assert hiding(["secret", "secret-and-more"])("a secret-and-more, a secret") == f"a {MASK}, a {MASK}"


def test_what_is_too_short_hides_nothing() -> None:
    """A key of three letters would take every word apart."""
    assert hiding(["abc", ""])("abcdef") == "abcdef"


@pytest.mark.parametrize("cut", [None, -1, -16])
def test_a_token_of_a_laptop_is_hidden_by_its_form(cut: int | None) -> None:
    """Nobody keeps a list of those that were issued; whose it is may be read. One that was cut is hidden, too."""
    token = Tokens(b"k" * 32).issue(StrategyId("alice_momentum"))[:cut]
    assert Secrets().hide(f"Authorization: Bearer {token}") == f"Authorization: Bearer alice_momentum.{MASK}"


@pytest.mark.parametrize("text", [MAC, f"hash={MAC}", f"alice.{MAC}0", "strategy.py", f"alice.{MAC[:40]}"])
def test_hashes_are_no_tokens(text: str) -> None:
    """Code and ledger have hashes of the same length, and people compare them."""
    assert Secrets().hide(text) == text


def test_what_becomes_known_later_is_hidden_later() -> None:
    """And what was known before still is."""
    secrets = Secrets(["first-one"])
    secrets.know(["second-one"])
    assert secrets.hide("first-one second-one") == f"{MASK} {MASK}"


@pytest.mark.parametrize(
    ("address", "quoted"),
    [
        ("slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ", "404 at /TIiajkdnlazkcOXrIdevi7FQ"),
        ("mailto://club:pa55word@mail.example.org?to=a@b.org", "login with pa55word refused"),
        ("mailto://club:p%40ssw0rd@mail.example.org", "login with p@ssw0rd refused"),
        ("tgram://123456789012:AAE-abc_1/", "bot 123456789012 is unknown"),
    ],
)
def test_what_opens_a_door_in_an_address_is_hidden_by_itself(address: str, quoted: str) -> None:
    """Who fails to send quotes parts of the address; words that anybody says stay."""
    secrets = Secrets()
    secrets.know_addresses([address])
    assert MASK in secrets.hide(quoted)
    assert secrets.hide(address) == MASK
    assert secrets.hide("mail.example.org refused the notification") == "mail.example.org refused the notification"
