"""What must hold between keys, and how relative paths become absolute."""

import os
import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

from deskd.config.settings import Config
from deskd.domain.ids import SYMBOL
from deskd.domain.schedule import WEEK

_KEYS_ELSEWHERE = "the broker's keys come from the environment"
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}
_PACKAGE = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,98}[A-Za-z0-9])?(==[0-9][A-Za-z0-9._+!-]{0,60})?")
_HHMM = re.compile(r"([01]\d|2[0-3]):[0-5]\d(:[0-5]\d)?")

type Broken = Iterator[tuple[str, str]]  # key, and what is wrong with it


def broken(config: Config, root: Path) -> Broken:
    """Name each rule that does not hold: the key, and what is wrong with it."""
    yield from _broker(config)
    yield from _exchange(config, root)
    yield from _symbols(config)
    yield from _packages(config)
    yield from _schedule(config)
    yield from _metrics(config)
    yield from _rest(config)


def _broker(config: Config) -> Broken:
    broker = config.broker
    if not broker.paper and not broker.allow_live_trading:
        yield "broker.paper", "is false: that is real money; allowed only beside broker.allow_live_trading = true"
    if not broker.paper and broker.mode == "embedded":
        yield "broker.paper", 'is false, but broker.mode = "embedded" trades no money; leave it out'
    if not broker.paper and config.sandbox.unsafe_without_jail:
        yield (
            "sandbox.unsafe_without_jail",
            "is true: strategies without a jail never trade real money; set it to false",
        )
    if not broker.paper and config.orders.conflict == "cross":
        yield (
            "orders.conflict",
            'is "cross": with real money no shares change hands past the broker; use "hold" or "deny"',
        )
    for name, schemes in (
        ("trading_url", ("https", "http")),
        ("data_url", ("https", "http")),
        ("data_stream_url", ("wss", "ws")),
        ("trade_stream_url", ("wss", "ws")),
    ):
        url: str | None = getattr(broker, name)
        problem = None if url is None else _bad_url(url, *schemes)
        if problem:
            yield f"broker.{name}", problem


def _bad_url(url: str, safe: str, open_: str) -> str | None:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        return f"is no address: {error}"
    if parts.username or parts.password:
        return f"has a user or a password in it (not shown); {_KEYS_ELSEWHERE}"
    if parts.scheme not in {safe, open_} or not host:
        return f'is "{url}"; allowed: an address like {safe}://HOST'
    if parts.scheme == open_ and host not in _LOOPBACK:
        return f"is not encrypted ({open_}://): the keys would be readable on the way; allowed: {safe}://"
    return None


def _exchange(config: Config, root: Path) -> Broken:
    exchange = config.exchange
    host, colon, port = exchange.listen.rpartition(":")
    if not colon or not host or not port.isdecimal() or int(port) > 65_535:
        yield "exchange.listen", f'is "{exchange.listen}"; allowed: HOST:PORT, as in 127.0.0.1:0 (0: any free port)'
    if exchange.start is not None and not _is_start(exchange.start):
        yield (
            "exchange.start",
            f'is "{exchange.start}"; allowed: HH:MM (New York), or a time as in 2013-10-08T13:30:00Z',
        )
    if not exchange.tape:
        yield "exchange.tape", 'is empty; allowed: files or folders of recorded data, or "synthetic"'
    if "synthetic" in exchange.tape and len(exchange.tape) > 1:
        yield "exchange.tape", '"synthetic" cannot be mixed with recorded data; name one or the other'
    for entry in exchange.tape:
        if config.broker.mode == "embedded" and entry != "synthetic" and not _exists(absolute(root, Path(entry))):
            yield "exchange.tape", f"there is no {absolute(root, Path(entry))}; a relative path starts from {root}"


def _metrics(config: Config) -> Broken:
    listen = config.metrics.listen
    if not listen:
        return
    host, colon, port = listen.rpartition(":")
    if not colon or not host or not port.isdecimal() or int(port) > 65_535:
        yield "metrics.listen", f'is "{listen}"; allowed: HOST:PORT, as in 127.0.0.1:9464, or "" (off)'
    elif host.strip("[]") not in _LOOPBACK and not config.metrics.allow_public:
        yield (
            "metrics.listen",
            f'is "{listen}": other machines reach it; allowed: 127.0.0.1:{port}, or metrics.allow_public = true beside it',
        )


def _exists(path: Path) -> bool:
    return os.path.exists(path)  # noqa: PTH110  Path.exists raises where a name is too long


def _is_start(text: str) -> bool:
    if _HHMM.fullmatch(text):
        return True
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


def _symbols(config: Config) -> Broken:
    symbols = config.market.symbols
    for symbol in symbols:
        if not SYMBOL.fullmatch(symbol):
            yield "market.symbols", f'"{symbol}" is no symbol; allowed: capital letters as in "SPY" or "BRK.B"'
    if len(set(symbols)) < len(symbols):
        yield "market.symbols", "names a symbol twice; name each once"


def _packages(config: Config) -> Broken:
    sandbox = config.sandbox
    names = [entry.partition("==")[0] for entry in sandbox.packages]
    for entry in sandbox.packages:
        if not _PACKAGE.fullmatch(entry):
            yield "sandbox.packages", f'"{entry}" is no package; allowed: a name as in "numpy", or "numpy==2.5.5"'
    if len({re.sub(r"[-_.]+", "-", name).lower() for name in names}) < len(names):
        yield "sandbox.packages", "names a package twice; name each once"
    index = sandbox.requirements_index
    if index is None or Path(index).expanduser().is_absolute():
        return
    if problem := _bad_url(index, "https", "http"):
        problem = problem.replace(_KEYS_ELSEWHERE, "allowed: an address that needs none")
        yield "sandbox.requirements_index", f"{problem}, or the absolute path of a folder"


def _schedule(config: Config) -> Broken:
    schedule = config.risk.schedule
    if schedule.opens >= schedule.closes:
        yield "risk.schedule.opens", f"is {schedule.opens}, not before risk.schedule.closes = {schedule.closes}"
    if not schedule.days or not set(schedule.days) <= set(WEEK) or len(set(schedule.days)) < len(schedule.days):
        yield "risk.schedule.days", f"is {list(schedule.days)}; allowed: each once of {', '.join(WEEK)}"


def _rest(config: Config) -> Broken:
    for name in ("state_dir", "runtime_dir", "strategies_dir", "db_path"):
        if getattr(config.desk, name) == Path():
            yield f"desk.{name}", "is empty; allowed: a path in quotes"
    sandbox, restart = config.sandbox, config.restart
    if sandbox.state_mb >= sandbox.memory_mb:
        text = f"is {sandbox.state_mb}, not under sandbox.memory_mb = {sandbox.memory_mb}; /state counts as memory"
        yield "sandbox.state_mb", f"{text}: lower it, or raise the other"
    if restart.backoff_initial_s > restart.backoff_max_s:
        text = f"is {restart.backoff_initial_s}, over restart.backoff_max_s = {restart.backoff_max_s}; swap them"
        yield "restart.backoff_initial_s", text
    if config.desk.db_path is not None and config.desk.db_path == config.exchange.state:
        yield "exchange.state", "is the same file as desk.db_path: the exchange and the desk keep separate books"


def absolute(root: Path, path: Path) -> Path:
    """Return *path* from *root*, a leading ~ as the home."""
    return (root / path.expanduser()).absolute()


def with_absolute_paths(config: Config, root: Path) -> Config:
    """Return the settings with every path absolute, and those that follow from others filled in."""

    def at(path: Path | None) -> Path | None:
        return None if path is None else absolute(root, path)

    desk, exchange, sandbox, jobs = config.desk, config.exchange, config.sandbox, config.jobs
    state_dir = absolute(root, desk.state_dir)
    tape = tuple(e if e == "synthetic" else str(absolute(root, Path(e))) for e in exchange.tape)
    return config.model_copy(
        update={
            "desk": desk.model_copy(
                update={
                    "state_dir": state_dir,
                    "runtime_dir": absolute(root, desk.runtime_dir),
                    "strategies_dir": absolute(root, desk.strategies_dir),
                    "db_path": at(desk.db_path) or state_dir / "desk.db",
                }
            ),
            "exchange": exchange.model_copy(
                update={"tape": tape, "state": at(exchange.state) or state_dir / "exchange.db"}
            ),
            "jobs": jobs.model_copy(update={"backup_dir": at(jobs.backup_dir) or state_dir / "backups"}),
            "notify": config.notify.model_copy(update={"routes_file": at(config.notify.routes_file)}),
            "sandbox": sandbox.model_copy(update={"python": at(sandbox.python), "jail_dir": at(sandbox.jail_dir)}),
        }
    )
