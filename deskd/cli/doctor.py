"""Examines the machine and the configuration: what is found, whether it is good, and what to do where it is not."""

import http.client
import os
import platform
import shutil
import socket
import sqlite3
import ssl
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

from deskd.cli.client import Desk, DeskNotReachable, NotDone
from deskd.cli.place import root_of
from deskd.config import Config
from deskd.config.keys import HOME_OF_KEYS, BrokerKeys, read_keys
from deskd.config.load import load
from deskd.control.listen import SOCKET_NAME
from deskd.domain.errors import ConfigError, SandboxUnavailable
from deskd.ledger.migrating import migrations
from deskd.supervision.hello import hello_jail
from deskd.supervision.staging import choose_jail_folder, stage_environment

BROKER_TIMEOUT_S = 5.0
DISK_BAD, DISK_LOW = 200 * 2**20, 2 * 2**30  # bytes: a day of a busy desk; a month of it

GOOD, WARNING, BAD = "good", "warning", "bad"
_ONLY_LAPTOPS = "only for laptops: set it to false"
_PAPER_URL, _LIVE_URL = "https://paper-api.alpaca.markets", "https://api.alpaca.markets"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at."""

    check: str
    verdict: str
    found: str
    remedy: str | None = None

    def row(self) -> dict[str, str | None]:
        """Return it as the table and the JSON show it."""
        return {"check": self.check, "verdict": self.verdict, "found": self.found, "remedy": self.remedy}


def examine(file: Path, environment: Mapping[str, str]) -> Iterator[Check]:
    """Yield every check, in the order in which they build on each other."""
    yield _python()
    yield _kernel()
    try:
        config = load(file, root=root_of(file), environment=environment).config
    except ConfigError as error:
        first, *others = str(error).splitlines()
        more = f" (and {len(others)} more)" if others else ""
        yield Check("configuration", BAD, first + more, "deskctl config check names every problem")
        return
    yield Check("configuration", GOOD, str(file))
    checks: tuple[Callable[[Config], Check], ...] = (_folders, _strategies, _disk, _ledger, _cgroups, _jail, _desk)
    for check in checks:
        yield check(config)
    yield _broker(config, environment)


def _python() -> Check:
    return Check("python", GOOD, f"{platform.python_version()} at {sys.executable}")


def _kernel() -> Check:
    found = f"{platform.system()} {platform.release()} {platform.machine()}"
    if platform.system() == "Linux":
        return Check("kernel", GOOD, found)
    return Check("kernel", BAD, found, "jails need Linux")


def _folders(config: Config) -> Check:
    for folder in (config.desk.state_dir, config.desk.runtime_dir):
        above = next(f for f in (folder, *folder.parents) if f.exists())
        if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
            return Check("folders", BAD, f"{above} cannot be written", f"chown it to the desk's user, or move {folder}")
    return Check("folders", GOOD, f"{config.desk.state_dir} can be written")


def _strategies(config: Config) -> Check:
    folder = config.desk.strategies_dir
    if not folder.is_dir():
        return Check("strategies", WARNING, f"there is no {folder}", "make it, and put strategies into it")
    count = sum(1 for entry in folder.iterdir() if (entry / "strategy.py").is_file())
    return Check("strategies", GOOD if count else WARNING, f"{count} in {folder}")


def _disk(config: Config) -> Check:
    folder = config.desk.state_dir
    free = shutil.disk_usage(next(f for f in (folder, *folder.parents) if f.exists())).free
    verdict = BAD if free < DISK_BAD else WARNING if free < DISK_LOW else GOOD
    remedy = None if verdict == GOOD else f"make room below {folder}: a ledger that cannot be written ends the desk"
    return Check("disk", verdict, f"{free / 2**30:.1f} GB free", remedy)


def _ledger(config: Config) -> Check:
    path = config.desk.db_path
    assert path is not None, "the loader fills it in"
    if not path.exists():
        return Check("ledger", GOOD, f"{path}: none yet, the first start makes it")
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, timeout=1.0)) as ledger:
            (count,) = ledger.execute("SELECT count(*) FROM facts").fetchone()
            (version,) = ledger.execute("SELECT max(version) FROM migrations").fetchone()
    except sqlite3.Error as error:
        return Check("ledger", BAD, f"{path}: {error}", "restore it from the last backup, or name another desk.db_path")
    newest = max(known for known, _, _ in migrations())
    if version is not None and version > newest:
        found = f"{path}: of version {version}, this deskd knows {newest}"
        return Check("ledger", BAD, found, "install the newer deskd, or name another desk.db_path")
    return Check("ledger", GOOD, f"{path}: {count} facts")


def _cgroups(config: Config) -> Check:
    """Look, and touch nothing: the desk makes its groups in its own place, which is not this shell's."""
    if config.sandbox.unsafe_without_jail:
        return Check("limits", WARNING, "sandbox.unsafe_without_jail = true: no limits", _ONLY_LAPTOPS)
    unified = Path("/sys/fs/cgroup/cgroup.controllers")
    if unified.exists():
        version, there = "v2", set(unified.read_text().split())
    else:
        rows = [line.split() for line in Path("/proc/cgroups").read_text().splitlines()[1:]]
        version, there = "v1", {name for name, _hierarchy, _count, enabled in rows if enabled == "1"}
    missing = {"cpu", "memory", "pids"} - there
    if missing:
        remedy = "boot with cgroup_enable=memory, or mount cgroup2 at /sys/fs/cgroup"
        return Check("limits", BAD, f"cgroup {version} lacks {', '.join(sorted(missing))}", remedy)
    return Check("limits", GOOD, f"cgroup {version} limits cpu, memory and pids")


def _jail(config: Config) -> Check:
    if config.sandbox.unsafe_without_jail:
        text = "sandbox.unsafe_without_jail = true: strategies run WITHOUT any protection"
        return Check("jail", WARNING, text, _ONLY_LAPTOPS)
    try:
        folder = choose_jail_folder(config.sandbox, config.desk.state_dir)
        folder.prepare()
        problem = hello_jail(config.sandbox, folder, stage_environment(folder, config.sandbox.python))
    except (SandboxUnavailable, OSError) as error:
        return Check("jail", BAD, "no jail can be made", str(error))
    if problem is not None:
        return Check("jail", BAD, "no jail can be made", problem)
    return Check("jail", GOOD, f"a hello jail ran (below {folder.root})")


def _desk(config: Config) -> Check:
    path = config.desk.runtime_dir / SOCKET_NAME
    try:
        strategies = Desk(path).look("/status")["strategies"]
    except (DeskNotReachable, NotDone) as error:
        return Check("desk", WARNING, "not running", str(error))
    return Check("desk", GOOD, f"running, {len(strategies)} strategies")


def _broker(config: Config, environment: Mapping[str, str]) -> Check:
    if config.broker.mode == "embedded":
        return Check("broker", GOOD, "the embedded exchange: no keys, no network")
    try:
        keys = read_keys(environment)
    except ConfigError as error:
        return Check("broker", BAD, "the keys cannot be used", str(error))
    if keys is None:
        return Check("broker", BAD, "no keys in this environment", HOME_OF_KEYS)
    return _account(config, keys)


def _account(config: Config, keys: BrokerKeys) -> Check:
    url = config.broker.trading_url or (_PAPER_URL if config.broker.paper else _LIVE_URL)
    parts = urlsplit(url)
    assert parts.hostname, "the loader checks addresses"
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname, parts.port, timeout=BROKER_TIMEOUT_S)
    try:
        headers = {"APCA-API-KEY-ID": keys.key_id, "APCA-API-SECRET-KEY": keys.secret_key}
        connection.request("GET", f"{parts.path.rstrip('/')}/v2/account", headers=headers)
        status = connection.getresponse().status
    except (OSError, ssl.SSLError, socket.gaierror, http.client.HTTPException) as error:
        return Check(
            "broker", BAD, f"{url} is not reachable: {error}", "look at this machine's network, proxy and clock"
        )
    finally:
        connection.close()
    if status == 200:
        return Check("broker", GOOD, f"{url} knows the keys")
    if status in {401, 403}:
        other = "live" if config.broker.paper else "paper"
        return Check("broker", BAD, f"{url} refuses the keys (HTTP {status})", f"are they {other} keys? Make new ones")
    return Check("broker", WARNING, f"{url} answered HTTP {status}", "try again; look at the broker's status page")
