"""Examines the machine and the configuration: what is found, whether it is good, and what to do where it is not."""

import os
import platform
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from deskd.alerts.routes import CREDENTIAL
from deskd.cli import credentials
from deskd.cli.broker_checks import examine_broker, session
from deskd.cli.check import BAD, GOOD, WARNING, Check, not_yours
from deskd.cli.client import Desk, DeskNotReachable, NotDone
from deskd.cli.machine import Machine, nsjail
from deskd.cli.place import root_of
from deskd.cli.route_checks import examine_routes
from deskd.config import Config
from deskd.config.load import load
from deskd.control.listen import SOCKET_NAME
from deskd.domain.errors import ConfigError, SandboxUnavailable
from deskd.domain.market import MarketClock
from deskd.ledger.migrating import migrations
from deskd.supervision import environment
from deskd.supervision.hello import hello_jail
from deskd.supervision.set_up import REMEDY, WEAKER, SetUp, set_up_of
from deskd.supervision.staging import choose_jail_folder, stage_environment
from deskd.supervision.uids import can_map_uids

DISK_BAD, DISK_LOW = 200 * 2**20, 2 * 2**30  # bytes: a day of a busy desk; a month of it

_JAIL_S = 120.0  # the first one stages the interpreter
_ONLY_LAPTOPS = "only for laptops: set it to false"


def examine(file: Path, environment: Mapping[str, str], *, is_brief: bool = False) -> Iterator[Check]:
    """Yield every check, in the order in which they build on each other.

    *is_brief*: what is looked at in no time, without a jail, a running desk and the network: set-up and start do so.
    """
    yield _python()
    machine = Machine()
    for look in (machine.kernel, machine.namespaces, machine.apparmor, machine.limits, machine.seccomp, nsjail):
        yield look()
    try:
        config = load(file, root=root_of(file), environment=environment).config
    except ConfigError as error:
        first, *others = str(error).splitlines()
        more = f" (and {len(others)} more)" if others else ""
        yield Check("configuration", BAD, first + more, "deskctl config check names every problem")
        return
    yield Check("configuration", GOOD, str(file))
    for check in _QUICK:
        yield check(config)
    if is_brief:
        return
    for check in _SLOW:
        yield check(config)
    yield from _desk(config, file)
    yield from examine_routes(config, file, environment, _desk_user(config))
    yield from examine_broker(config, file, environment, _desk_user(config))


def _python() -> Check:
    return Check("python", GOOD, f"{platform.python_version()} at {sys.executable}")


def _folders(config: Config) -> Check:
    for folder in (config.desk.state_dir, config.desk.runtime_dir):
        above = next(f for f in (folder, *folder.parents) if f.exists())
        if above == folder and _is_anothers_desk(folder, config) and not os.access(above, os.W_OK):
            return not_yours("folders", f"{folder}: it belongs to uid {above.stat().st_uid}, and")
        if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
            return Check("folders", BAD, f"{above} cannot be written", f"chown it to the desk's user, or move {folder}")
    return Check("folders", GOOD, f"{config.desk.state_dir} can be written")


def _is_anothers_desk(folder: Path, config: Config) -> bool:
    """Return whether the folder belongs to somebody else; root's is a desk's only where a ledger lies."""
    path = config.desk.db_path
    owner = folder.stat().st_uid
    return owner != os.geteuid() and (owner != 0 or (path is not None and os.access(path, os.F_OK)))


def _strategies(config: Config) -> Check:
    folder = config.desk.strategies_dir
    if not folder.is_dir():
        return Check("strategies", WARNING, f"there is no {folder}", "make it, and put strategies into it")
    count = sum(1 for entry in folder.iterdir() if (entry / "strategy.py").is_file())
    if not count:
        return Check(
            "strategies", WARNING, f"none in {folder}", "`deskctl new NAME` begins one; `deskctl deploy` adds it"
        )
    return Check("strategies", GOOD, f"{count} in {folder}")


def _disk(config: Config) -> Check:
    folder = config.desk.state_dir
    free = shutil.disk_usage(next(f for f in (folder, *folder.parents) if f.exists())).free
    verdict = BAD if free < DISK_BAD else WARNING if free < DISK_LOW else GOOD
    remedy = None if verdict == GOOD else f"make room below {folder}: a ledger that cannot be written ends the desk"
    return Check("disk", verdict, f"{free / 2**30:.1f} GB free", remedy)


def _ledger(config: Config) -> Check:
    path = config.desk.db_path
    assert path is not None, "the loader fills it in"
    if _desk_user(config) != os.geteuid() != 0 and not os.access(path, os.R_OK):
        return not_yours("ledger", str(path))
    if not path.exists():
        return Check("ledger", GOOD, f"{path}: none yet, the first start makes it")
    how = "mode=ro" if path.with_name(f"{path.name}-wal").exists() else "mode=ro&immutable=1"  # root's -shm: in its way
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path))}?{how}", uri=True, timeout=1.0)) as ledger:
            (count,) = ledger.execute("SELECT count(*) FROM facts").fetchone()
            (version,) = ledger.execute("SELECT max(version) FROM migrations").fetchone()
    except sqlite3.Error as error:
        return Check("ledger", BAD, f"{path}: {error}", "restore it from the last backup, or name another desk.db_path")
    newest = max(known for known, _, _ in migrations())
    if version is not None and version > newest:
        found = f"{path}: of version {version}, this deskd knows {newest}"
        return Check("ledger", BAD, found, "install the newer deskd, or name another desk.db_path")
    return Check("ledger", GOOD, f"{path}: {count} facts")


def _closed(config: Config) -> Check:
    """Look whether other users of the machine may read the books; a desk makes them closed, old ones stay as they were."""
    open_to_all: list[str] = []
    for path in (config.desk.db_path, config.exchange.state):
        assert path is not None, "the loader fills it in"
        for file in (path, *(path.with_name(path.name + tail) for tail in ("-wal", "-shm"))):
            try:
                mode = file.stat().st_mode & 0o777
            except OSError:
                continue  # not there, or in a folder that is closed itself
            if mode & 0o007:
                open_to_all.append(f"{file} (mode {mode:04o})")
    if open_to_all:
        found = f"every user of the machine may open {', '.join(open_to_all)}"
        files = " ".join(text.rpartition(" (")[0] for text in open_to_all)
        return Check("privacy", WARNING, found, f"chmod o= {files}")
    return Check("privacy", GOOD, "ledger and exchange are closed to other users of the machine")


def _jail(config: Config) -> Check:
    if config.sandbox.unsafe_without_jail:
        text = "sandbox.unsafe_without_jail = true: strategies run WITHOUT any protection or limits"
        return Check("jail", WARNING, text, _ONLY_LAPTOPS)
    owner = _desk_user(config)
    if owner != os.geteuid():
        return (
            _jail_as(owner, config) if os.geteuid() == 0 else not_yours("jail", "what the desk's jails are made from")
        )
    try:
        folder = choose_jail_folder(config.sandbox, config.desk.state_dir)
        folder.prepare()
        problem = hello_jail(config.sandbox, folder, stage_environment(folder, config.sandbox.python))
    except (SandboxUnavailable, OSError) as error:
        return Check("jail", BAD, "no jail can be made", str(error))
    return _ran(problem, f"below {folder.root}", can_map_uids())


def _desk_user(config: Config) -> int:
    """Return whose desk it is: who owns its state, or whoever asks where there is none yet."""
    folder = config.desk.state_dir
    return folder.stat().st_uid if folder.is_dir() else os.geteuid()


def _packages(config: Config) -> Check:
    """Look at what strategies can import beside the standard library."""
    if config.sandbox.python is not None:
        return Check("packages", GOOD, f"those of {config.sandbox.python}")
    try:
        root = choose_jail_folder(config.sandbox, config.desk.state_dir).root
        python = f"python{sys.version_info.major}.{sys.version_info.minor}"
        site = environment.home_of(root).current(python)
        found = None if site is None else environment.versions_in(site)
    except (SandboxUnavailable, OSError) as error:
        return Check("packages", WARNING, "cannot be looked at", str(error))
    if found is None:
        listed = ", ".join(config.sandbox.packages)
        remedy = f"`{environment.BUILD_COMMAND}` builds {listed}" if listed else None
        return Check("packages", WARNING if listed else GOOD, "strategies have the standard library alone", remedy)
    return Check("packages", GOOD, environment.described(found))


def _jail_as(owner: int, config: Config) -> Check:
    """Run the hello jail as the desk's user, with the rights that the unit gives it: root's files would be in its way."""
    rights = "+setuid,+setgid,+chown"
    group = config.desk.state_dir.stat().st_gid
    who = [f"--reuid={owner}", f"--regid={group}", "--clear-groups", "--no-new-privs"]
    places = [str(path) for path in (config.desk.state_dir, config.sandbox.jail_dir) if path is not None]
    program = [sys.executable, "-P", "-m", "deskd.supervision.hello", *places]
    command = ["setpriv", *who, f"--inh-caps=-all,{rights}", f"--ambient-caps=-all,{rights}", "--", *program]
    try:
        ran = subprocess.run(command, capture_output=True, check=False, timeout=_JAIL_S, text=True, errors="replace")
    except (OSError, subprocess.TimeoutExpired) as error:
        return Check("jail", BAD, "no jail can be made", str(error))
    said = ran.stderr.strip().splitlines()
    problem = None if ran.returncode == 0 else (said[-1] if said else f"exit status {ran.returncode}")
    return _ran(problem, f"as uid {owner}, with the unit's rights", maps_uids=True)


def _ran(problem: str | None, where: str, maps_uids: bool) -> Check:  # noqa: FBT001
    if problem is not None:
        return Check("jail", BAD, "no jail can be made", problem)
    set_up = set_up_of(is_jailed=True, maps_uids=maps_uids, euid=os.geteuid())
    if set_up is SetUp.ONE_UID:
        return Check("jail", WARNING, f"a hello jail ran ({where}), but {WEAKER}", REMEDY)
    return Check("jail", GOOD, f"a hello jail ran ({where}); one uid per strategy")


def _state(config: Config) -> Check:
    """Say what bounds /state: the same in every set-up that has jails."""
    sandbox = config.sandbox
    if sandbox.unsafe_without_jail:
        return Check("state", WARNING, "sandbox.unsafe_without_jail = true: there is no /state", _ONLY_LAPTOPS)
    bound = f"{sandbox.state_mb} MB and {sandbox.state_files} files, held by the kernel (a tmpfs of each jail)"
    return Check("state", GOOD, f"{bound}; saved every {sandbox.state_save_s:g} s and when a run ends")


def _session(config: Config, desk: Mapping[str, Any] | None) -> Iterator[Check]:
    """Say when the embedded exchange opens and closes: its clock is its tape's, and nobody but the desk hears it."""
    if config.broker.mode != "embedded":
        return  # the broker is asked itself
    if desk is None:
        yield Check("session", GOOD, "the embedded exchange's market stands while no desk runs")
        return
    now, opens, closes = (desk.get(key) for key in ("market_time", "market_opens_at", "market_closes_at"))
    if now is None or opens is None or closes is None:
        yield Check("session", WARNING, "the embedded exchange's clock was not heard yet", "ask again")
        return
    clock = MarketClock(
        timestamp=datetime.fromisoformat(now),
        is_open=bool(desk.get("market_is_open")),
        next_open=datetime.fromisoformat(opens),
        next_close=datetime.fromisoformat(closes),
    )
    check = session(clock)
    speed = "" if config.exchange.speed == 1 else f", at speed {config.exchange.speed:g}"
    yield replace(check, found=f"{check.found} (the tape's time{speed})")


def _desk(config: Config, file: Path) -> Iterator[Check]:
    path = config.desk.runtime_dir / SOCKET_NAME
    try:
        told = Desk(path).look("/status")
    except (DeskNotReachable, NotDone) as error:
        yield Check("desk", WARNING, "not running", str(error))
        yield from _session(config, None)
        return
    wrong = told["desk"].get("configuration")
    if wrong:
        yield Check("desk", BAD, f"running, as before: {wrong}", "mend it, then: deskctl config reload")
    else:
        yield Check("desk", GOOD, f"running, {len(told['strategies'])} strategies")
    yield from _session(config, told["desk"])
    names = credentials.changed_since_start(told["desk"], file)
    names = [one for one in names if one != CREDENTIAL or config.notify.routes_file is None]
    if names:
        yield Check("credentials", WARNING, credentials.in_words(names), credentials.REMEDY)
    jails = told["desk"].get("jails")
    if jails == SetUp.ONE_UID.text:
        yield Check("set-up", WARNING, f"the running desk has {jails}: {WEAKER}", REMEDY)
    elif jails == SetUp.NO_JAIL.text:
        yield Check("set-up", WARNING, f"the running desk has {jails}", _ONLY_LAPTOPS)
    elif jails is not None:
        yield Check("set-up", GOOD, f"the running desk has {jails}")
    for name, why in told["desk"].get("jobs_failed", {}).items():
        what, _, remedy = why.rpartition("; ")
        yield Check("jobs", BAD, f"{name} {what}", remedy)
    for name, why in told["desk"].get("strategies_not_startable", {}).items():
        yield Check("jails", BAD, f"the running desk fails to start {name} {why}", "see the other lines, and its log")


_QUICK: tuple[Callable[[Config], Check], ...] = (_folders, _strategies, _disk, _ledger, _closed)
_SLOW: tuple[Callable[[Config], Check], ...] = (_jail, _packages, _state)
