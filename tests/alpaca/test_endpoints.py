"""Where Alpaca is, and who may know the keys."""

import pytest

from deskd.alpaca.endpoints import Endpoints, Keys, endpoints
from deskd.config import BrokerSection
from deskd.domain.errors import ConfigError


def test_paper_is_papers_four_addresses() -> None:
    """Keys of the paper account go to the paper host only."""
    assert endpoints(BrokerSection(mode="alpaca"), "sip") == Endpoints(
        trading="https://paper-api.alpaca.markets",
        data="https://data.alpaca.markets",
        data_stream="wss://stream.data.alpaca.markets/v2/sip",
        trade_stream="wss://paper-api.alpaca.markets/stream",
    )


def test_real_money_needs_two_switches() -> None:
    """`paper = false` alone is refused, and the text names both keys."""
    with pytest.raises(ConfigError, match=r"broker\.paper = false .* broker\.allow_live_trading = true"):
        endpoints(BrokerSection(mode="alpaca", paper=False), "iex")
    live = endpoints(BrokerSection(mode="alpaca", paper=False, allow_live_trading=True), "iex")
    assert (live.trading, live.trade_stream) == ("https://api.alpaca.markets", "wss://api.alpaca.markets/stream")


def test_the_embedded_exchange_is_everything_on_one_port() -> None:
    """The switches for Alpaca have no meaning there."""
    found = endpoints(BrokerSection(paper=False), "iex", embedded_url="http://127.0.0.1:8123/")
    assert found == Endpoints(
        trading="http://127.0.0.1:8123",
        data="http://127.0.0.1:8123",
        data_stream="ws://127.0.0.1:8123/v2/iex",
        trade_stream="ws://127.0.0.1:8123/stream",
    )


def test_each_address_can_be_overridden() -> None:
    """A slash at the end makes no difference."""
    section = BrokerSection(
        mode="alpaca", data_stream_url="ws://localhost:1/v2/test/", trading_url="http://localhost:2/"
    )
    found = endpoints(section, "iex")
    assert (found.data_stream, found.trading) == ("ws://localhost:1/v2/test", "http://localhost:2")
    assert found.trade_stream == "wss://paper-api.alpaca.markets/stream"


@pytest.mark.parametrize(
    "wrong", [{"trading_url": "paper-api.alpaca.markets"}, {"data_stream_url": "https://x"}, {"data_url": "http://"}]
)
def test_an_override_that_is_no_address_is_named(wrong: dict[str, str]) -> None:
    """The text names the key, the value and the form."""
    (key,) = wrong
    with pytest.raises(ConfigError, match=rf"broker\.{key} = .* must be an address like"):
        endpoints(BrokerSection.model_validate({"mode": "alpaca", **wrong}), "iex")


def test_keys_show_nowhere() -> None:
    """A log line, a traceback or a repr of what holds them tells nothing."""
    keys = Keys("PKABCDEFGH", "very-secret")
    for text in (repr(keys), str(keys), f"{keys}", repr([keys])):
        assert "very-secret" not in text
        assert "PKABCDEFGH" not in text


def test_what_the_broker_says_never_quotes_the_keys() -> None:
    """Its words go into the ledger, which is for ever; a text so short that it may be anything stays."""
    keys = Keys("PK1234567", "very-secret")
    assert keys.hidden_in("key PK1234567 with very-secret is unknown\ud800") == "key *** with *** is unknown\ud800"
    assert keys.hidden_in_body(b'{"message":"very-secret"}') == b'{"message":"***"}'
    assert Keys("PK1", "x").hidden_in("PK1 x") == "PK1 x"
