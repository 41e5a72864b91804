"""Whether the broker can be reached and takes the keys, how far its clock is from ours, what the data plan gives, and the session.

The data plan is asked for by REST: a second connection to the stream would cost the running desk its own.
"""

import http.client
import json
import os
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic
from urllib.parse import urlsplit

from deskd.cli import credentials
from deskd.cli.check import BAD, GOOD, WARNING, Check, not_yours
from deskd.cli.show import duration
from deskd.config import Config
from deskd.config.keys import HOME_OF_KEYS, BrokerKeys, read_keys
from deskd.domain.errors import ConfigError, SandboxUnavailable, WireError
from deskd.domain.market import MarketClock
from deskd.domain.shown import one_line
from deskd.domain.strategy import StrategySpec

TIMEOUT_S = 5.0
BASIC_SYMBOLS_MAX = 30  # of the free plan: symbols with trades or quotes on the stream
SKEW_WARNED, SKEW_BAD = timedelta(seconds=1), timedelta(seconds=5)  # the jobs' own bound is the second
_ANSWER_MAX = 65_536
_SAID_MAX = 120
_SET_CLOCK = "let the machine's clock be set: timedatectl set-ntp true, or chrony"
_RECENT = "/v2/stocks/quotes/latest?symbols=SPY&feed=sip"  # answered on plans with the whole market alone


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    body: Mapping[str, object]
    asked_at: datetime  # by our clock, in the middle of the request
    took: timedelta


def examine_broker(config: Config, file: Path, environment: Mapping[str, str], desk_uid: int) -> Iterator[Check]:
    """Yield what an officer should know about the broker before a session."""
    if config.broker.mode == "embedded":
        yield _no_keys(credentials.of_unit(file) or environment)
        return
    if desk_uid != os.geteuid():  # a unit's credentials are in nobody's environment
        found = credentials.of_unit(file)
        if found is None:
            yield not_yours("broker", "the key pair of the desk")
            return
        environment = found
    try:
        keys = read_keys(environment)
    except ConfigError as error:
        yield Check("broker", BAD, "the keys cannot be used", str(error))
        return
    if keys is None:
        yield Check("broker", BAD, "no keys in this environment", HOME_OF_KEYS)
        return
    yield from _asked(config, keys)


def _no_keys(environment: Mapping[str, str]) -> Check:
    """Return that nothing is needed; half a pair ends a start all the same."""
    try:
        read_keys(environment)
    except ConfigError as error:
        return Check("broker", BAD, "no start with these keys, though the embedded exchange needs none", str(error))
    return Check("broker", GOOD, "the embedded exchange: no keys, no network, a clock and sessions of its own")


def _asked(config: Config, keys: BrokerKeys) -> Iterator[Check]:
    from deskd.alpaca.endpoints import endpoints

    where = endpoints(config.broker, config.market.feed)
    try:
        answer = _get(where.trading, "/v2/account", keys)
    except (OSError, http.client.HTTPException) as error:
        remedy = "look at this machine's network, proxy and clock"
        yield Check("broker", BAD, f"{where.trading} is not reachable: {error}", remedy)
        if isinstance(error, ssl.SSLCertVerificationError):
            yield Check("clock", WARNING, "a certificate that does not hold may be a clock that is wrong", _SET_CLOCK)
        return
    yield (account := _account(where.trading, answer, is_paper=config.broker.paper))
    if account.verdict == BAD:
        return  # it would say the same to everything
    try:
        yield from _time(_get(where.trading, "/v2/clock", keys))
    except (OSError, http.client.HTTPException) as error:
        yield Check("clock", WARNING, f"the broker's clock was not heard: {error}", "try again")
    try:
        yield _data_plan(_get(where.data, _RECENT, keys), config)
    except (OSError, http.client.HTTPException) as error:
        yield Check("data plan", BAD, f"{where.data} is not reachable: {error}", "look at this machine's network")


def _get(url: str, path: str, keys: BrokerKeys) -> _Answer:
    parts = urlsplit(url)
    assert parts.hostname, "the loader checks addresses"
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname, parts.port, timeout=TIMEOUT_S)
    try:
        headers = {"APCA-API-KEY-ID": keys.key_id, "APCA-API-SECRET-KEY": keys.secret_key}
        connection.connect()  # a handshake is no part of the answer's way
        began = monotonic()
        connection.request("GET", f"{parts.path.rstrip('/')}{path}", headers=headers)
        answer = connection.getresponse()
        took = timedelta(seconds=monotonic() - began)
        now = datetime.now(UTC)  # noqa: TID251  this machine's clock is what is examined
        return _Answer(answer.status, _read(answer.read(_ANSWER_MAX)), now - took / 2, took)
    finally:
        connection.close()


def _read(body: bytes) -> Mapping[str, object]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _account(url: str, answer: _Answer, *, is_paper: bool) -> Check:
    ours, other = ("paper", "live") if is_paper else ("live", "paper")
    if answer.status in {401, 403}:
        found = f"{url} refuses the keys (HTTP {answer.status})"
        return Check("broker", BAD, found, f"are they {other} keys? Make new ones (runbook key-rotation)")
    if answer.status != 200:
        found = f"{url} answered HTTP {answer.status}"
        return Check("broker", WARNING, found, "try again; look at the broker's status page")
    barred = [key for key in ("account_blocked", "trading_blocked", "trade_suspended_by_user") if answer.body.get(key)]
    if barred:
        remedy = "a kill of the desk suspends it until `deskctl release`; else ask the broker why"
        return Check("broker", WARNING, f"{url} knows the keys, but the account is barred: {', '.join(barred)}", remedy)
    money = "paper money" if is_paper else "REAL money"
    return Check("broker", GOOD, f"{url} knows the keys: a {ours} account, {money}")


def _time(answer: _Answer) -> Iterator[Check]:
    from deskd.wire.alpaca.client import decode_clock

    try:
        clock = decode_clock(answer.body)
    except WireError as problem:
        yield Check(
            "clock", WARNING, f"the broker's clock cannot be read (HTTP {answer.status}, {problem})", "try again"
        )
        return
    yield _skew(answer.asked_at - clock.timestamp, answer.took)
    yield session(clock)


def _skew(skew: timedelta, took: timedelta) -> Check:
    """Judge how far this machine's clock is from the broker's: what half the answer's way may hide is not held against it."""
    least = max(abs(skew) - took / 2, timedelta(0))
    way = "after" if skew > timedelta(0) else "behind"
    found = f"{abs(skew).total_seconds():.1f} s {way} the broker's (its answer took {took.total_seconds():.1f} s)"
    if least > SKEW_WARNED:
        return Check("clock", BAD if least > SKEW_BAD else WARNING, found, _SET_CLOCK)
    return Check("clock", GOOD, found)


def session(clock: MarketClock) -> Check:
    """Say until when the session goes, or when the next one begins."""
    if clock.is_open:
        left = duration((clock.next_close - clock.timestamp).total_seconds())
        return Check("session", GOOD, f"open until {_at(clock.next_close)}: {left} left")
    left = duration((clock.next_open - clock.timestamp).total_seconds())
    return Check("session", GOOD, f"closed; the next one begins {_at(clock.next_open)}: in {left}")


def _at(instant: datetime) -> str:
    return f"{instant.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _data_plan(answer: _Answer, config: Config) -> Check:
    feed, wanted = config.market.feed, len(_symbols(config))
    if answer.status == 200:
        return Check("data plan", GOOD, f"the whole market (sip), any number of symbols; feed {feed}, {wanted} symbols")
    if answer.status != 403:
        said = one_line(str(answer.body.get("message", "")))[:_SAID_MAX]
        return Check("data plan", WARNING, f"not known: HTTP {answer.status} {said}".rstrip(), "try again")
    if feed == "sip":
        remedy = 'set market.feed = "iex", or subscribe to the paid plan'
        return Check("data plan", BAD, "the free plan, which has no sip, and market.feed is sip", remedy)
    found = f"the free plan: up to {BASIC_SYMBOLS_MAX} symbols on the stream, one connection; strategies name {wanted}"
    if wanted > BASIC_SYMBOLS_MAX:
        return Check("data plan", BAD, found, "let them name fewer `symbols`, or subscribe to the paid plan")
    return Check("data plan", GOOD, f"{found}; feed {feed}")


def _symbols(config: Config) -> set[str]:
    """Return what the strategies that can start with the desk want: of each symbol the gate needs quotes."""
    from deskd.supervision.discovery import Defaults, discover

    defaults = Defaults(
        market=config.market, risk=config.risk.strategy, exits=config.risk.exits, schedule=config.risk.schedule
    )
    try:
        found = discover(config.desk.strategies_dir, defaults, lambda sources: [None] * len(sources))
    except SandboxUnavailable:
        return set()
    good = [one for one in found if isinstance(one, StrategySpec) and one.is_enabled]
    return {str(symbol) for strategy in good for symbol in strategy.symbols}
