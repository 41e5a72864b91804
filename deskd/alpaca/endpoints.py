"""Where Alpaca is, and the keys to it."""

from dataclasses import dataclass
from urllib.parse import urlsplit

from deskd.config import BrokerSection
from deskd.domain.errors import ConfigError
from deskd.secrets import MASK, SECRET_LENGTH_MIN

PAPER_TRADING = "https://paper-api.alpaca.markets"
LIVE_TRADING = "https://api.alpaca.markets"
DATA = "https://data.alpaca.markets"
DATA_STREAM = "wss://stream.data.alpaca.markets"


@dataclass(frozen=True, slots=True)
class Keys:
    """The account's keys. They show nowhere: neither repr nor str tells them."""

    key_id: str
    secret: str

    def __repr__(self) -> str:
        return f"Keys({self.key_id[:2]}…, …)"

    __str__ = __repr__

    def hidden_in(self, text: str) -> str:
        """Return *text* without the keys: what the broker says goes into the ledger, and its errors may quote them."""
        return self.hidden_in_body(text.encode("utf-8", "surrogatepass")).decode("utf-8", "surrogatepass")

    def hidden_in_body(self, body: bytes) -> bytes:
        """Return an answer's body without the keys."""
        for known in (self.secret, self.key_id):
            if len(known) >= SECRET_LENGTH_MIN:
                body = body.replace(known.encode(), MASK.encode())
        return body


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoints:
    """The four addresses of one broker; none ends in a slash."""

    trading: str
    data: str
    data_stream: str  # with the feed: .../v2/iex
    trade_stream: str


def endpoints(broker: BrokerSection, feed: str, *, embedded_url: str | None = None) -> Endpoints:
    """Return the addresses that [broker] means; *embedded_url* is where the embedded exchange listens.

    Raise ConfigError for the live account without `allow_live_trading`, and for an override that is no address.
    """
    if broker.mode == "embedded":
        assert embedded_url is not None, "the embedded exchange has told its address"
        found = _at(embedded_url, feed)
    elif broker.paper:
        found = _alpaca(PAPER_TRADING, feed)
    elif broker.allow_live_trading:
        found = _alpaca(LIVE_TRADING, feed)
    else:
        raise ConfigError(
            "broker.paper = false trades real money: it needs broker.allow_live_trading = true as well; "
            "set it, or set broker.paper = true"
        )
    return Endpoints(
        trading=_override("trading_url", broker.trading_url, "http") or found.trading,
        data=_override("data_url", broker.data_url, "http") or found.data,
        data_stream=_override("data_stream_url", broker.data_stream_url, "ws") or found.data_stream,
        trade_stream=_override("trade_stream_url", broker.trade_stream_url, "ws") or found.trade_stream,
    )


def embedded(url: str, feed: str) -> Endpoints:
    """Return the addresses of an exchange that serves everything at one *url*."""
    return _at(url, feed)


def _at(url: str, feed: str) -> Endpoints:
    base = url.rstrip("/")
    socket = "ws" + base.removeprefix("http")
    return Endpoints(trading=base, data=base, data_stream=f"{socket}/v2/{feed}", trade_stream=f"{socket}/stream")


def _alpaca(trading: str, feed: str) -> Endpoints:
    socket = "wss" + trading.removeprefix("https")
    return Endpoints(
        trading=trading, data=DATA, data_stream=f"{DATA_STREAM}/v2/{feed}", trade_stream=f"{socket}/stream"
    )


def _override(name: str, url: str | None, scheme: str) -> str | None:
    if url is None:
        return None
    parts = urlsplit(url)
    if parts.scheme not in {scheme, f"{scheme}s"} or not parts.netloc:
        raise ConfigError(f"broker.{name} = {url!r} must be an address like {scheme}://HOST:PORT or {scheme}s://HOST")
    return url.rstrip("/")
