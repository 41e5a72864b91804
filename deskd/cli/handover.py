"""`deskctl handover DIR`: all that next year's officers need, in one folder, and no secret in it.

What it needs is imported where it is needed: deskctl starts in a blink, and imports this file.
"""

import os
import re
import stat
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import click

from deskd import __version__
from deskd.cli import show
from deskd.cli.call import Call, json_option, pass_call
from deskd.cli.client import DeskNotReachable, NotDone
from deskd.cli.place import CHECKOUT, INSTALLED, config_file, root_of
from deskd.domain.errors import ConfigError, SandboxUnavailable

RUNBOOKS = CHECKOUT / "docs" / "runbooks"
MASK = "***"
CREDENTIAL = "notification_routes"  # as alerts.routes names it, which would be slow to import
_IN_ADDRESS = re.compile(r"(?<=://)[^/@\s\"']+@")  # a user and a password
_SECRETS = {
    "ledger-key": "signs the ledger; who has it can sign in the desk's name. Copy it by hand, sealed, to the next officers",
    "token.key": "makes the tokens of laptops; a new one makes every token void",
}

_OF_UNIT = {
    "alpaca_key_id": "the broker's key: its name",
    "alpaca_secret_key": "the broker's key: its secret",
    CREDENTIAL: "addresses of notifications: they hold passwords and tokens",
}

_README = """# Handover of {name}, {day}

Made by `deskctl handover`, deskd {version}. No secret is in this folder: keys.md says where each lies.

| what | where |
| --- | --- |
| configuration, secrets masked | `desk.toml` |
| ledger, one file of one moment, read to its last entry | `ledger/desk.db`: {facts:,} facts, last hash `{hash}` |
| its roots and public keys | `ledger/roots.jsonl`, `ledger/ledger-key.pub` |
| what is installed | `versions.txt` |
| what the doctor found | `doctor.txt` |
| what to do when | `runbooks/` |
| hashes of all of it | `MANIFEST.sha256` (`sha256sum -c MANIFEST.sha256`) |

## What is not in this folder

Copy by hand what you want to keep:

{left_out}

## Before you say that it is yours

- [ ] `sha256sum -c MANIFEST.sha256` says OK for every file
- [ ] `deskctl audit verify --db ledger/desk.db --key ledger/ledger-key.pub --root ledger/roots.jsonl` finds it whole
- [ ] you are in the group deskd-officers, last year's officers are not (`getent group deskd-officers`)
- [ ] the broker's account is in your name, its keys are new (runbooks/key-rotation.md), the old ones are revoked
- [ ] `sudo deskctl doctor` finds nothing bad on the machine
- [ ] you restored the ledger on another machine once (runbooks/restore.md)
- [ ] you pulled and released the kill switch once, on paper (runbooks/kill.md)
- [ ] `deskctl jobs` shows a backup of the last session, and you know which disk it is on
- [ ] you know who gets the notifications, and that is you
- [ ] you read every runbook
"""
_NAMED = ("README.md", "key-rotation.md", "restore.md", "kill.md")  # by the bundle's README and keys.md


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@json_option
@pass_call
def handover(call: Call, folder: Path, *, as_json: bool) -> None:
    """Put all that the next officers need into the new folder DIR. Secrets stay where they are; it says where."""
    from deskd.config.load import load

    file = config_file(call.config)
    config = load(file, root=root_of(file), environment=os.environ).config
    target = folder.parent.resolve() / folder.name
    assert config.desk.db_path is not None, "the loader fills it in"
    if os.access(config.desk.db_path, os.F_OK) and not os.access(config.desk.db_path, os.R_OK):
        raise NotDone("the ledger is not yours to read: an officer hands the desk over: sudo deskctl handover DIR")
    try:
        with _whole_or_none(target):
            facts, count, last_hash = _fill(call, config, file, target)
    except FileExistsError:
        raise NotDone(f"{target}: is there already: name a folder that is not") from None
    except OSError as error:
        raise NotDone(f"{target}: cannot be written ({error.strerror}); name a folder elsewhere") from None
    if as_json:
        show.as_json({"folder": str(target), "files": count, "facts": facts, "last_hash": last_hash})
    else:
        show.say(f"{target}: {count} files, ledger of {facts:,} facts; begin with README.md")


@contextmanager
def _whole_or_none(target: Path) -> Iterator[None]:
    """Make the folder; remove it where it does not get whole: half a bundle would be taken for one."""
    import shutil

    target.mkdir(mode=0o700)
    try:
        yield
    except BaseException:
        shutil.rmtree(target, ignore_errors=True)
        raise


def _fill(call: Call, config: Any, file: Path, target: Path) -> tuple[int, int, str]:
    """Write all of it; return how many facts and files, and the last hash."""
    (target / "ledger").mkdir(mode=0o700)
    facts, last_hash = _ledger(call, config, target / "ledger")
    parts: Mapping[str, Callable[[], str]] = {
        "README.md": lambda: _README.format(
            name=config.desk.name,
            day=_today(),
            version=__version__,
            facts=facts,
            hash=last_hash,
            left_out="\n".join(_left_out(config)),
        ),
        "desk.toml": lambda: masked(file.read_text(), _keys()),
        "keys.md": lambda: "\n".join(_where_keys_are(config, file)) + "\n",
        "versions.txt": lambda: "\n".join(_versions()) + "\n",
        "doctor.txt": lambda: "\n".join(_doctor(file)) + "\n",
    }
    for name, text in parts.items():
        (target / name).write_text(text())
    _runbooks(target / "runbooks")
    manifest = list(_manifest(target))
    (target / "MANIFEST.sha256").write_text("".join(f"{digest}  {name}\n" for digest, name in manifest))
    return facts, len(manifest), last_hash


def _today() -> str:
    from deskd.ports import SystemClock

    return SystemClock().now().date().isoformat()


def _ledger(call: Call, config: Any, folder: Path) -> tuple[int, str]:
    """Copy the ledger, by the running desk where it can, and read the copy to its last entry."""
    from deskd.cli.copying import copy_of
    from deskd.ledger.audit import verify
    from deskd.ledger.roots import PUBLIC_KEY, ROOTS

    source, target = config.desk.db_path, folder / "desk.db"
    assert source is not None, "the loader fills it in"
    with suppress(DeskNotReachable, NotDone):  # it does not run, or is another's
        call.desk().command("/sign", {})  # so that a root covers what is handed over
    copy_of(call, target, lambda: source)  # the caller may read it: handover looked
    verdict = verify(target)
    if not verdict.is_whole:
        raise NotDone(f"{target}: the ledger is damaged ({verdict.damages[0]}): deskctl audit verify says more")
    for name in (ROOTS, PUBLIC_KEY):
        kept = config.desk.state_dir / name
        (folder / name).write_bytes(kept.read_bytes() if kept.exists() else b"")  # none yet is told by an empty file
    return verdict.facts, verdict.last_hash


def _keys() -> tuple[str, ...]:
    from deskd.config.keys import read_keys

    try:
        return tuple(read_keys(os.environ) or ())
    except ConfigError:
        return ()


def masked(text: str, secrets: tuple[str, ...]) -> str:
    """Return the configuration without what nobody should have put there: keys, and passwords in addresses."""
    for secret in secrets:
        text = text.replace(secret, MASK)
    return _IN_ADDRESS.sub(f"{MASK}@", text)


def _where_keys_are(config: Any, file: Path, installed: Path = INSTALLED) -> Iterator[str]:
    from deskd.config.keys import HOME_OF_KEYS

    yield "# Where the keys are\n"
    yield "None of them is in this folder.\n"
    yield f"- broker ({config.broker.mode}): {HOME_OF_KEYS}"
    if file.absolute() == installed:
        for name, what in _OF_UNIT.items():
            yield _key(installed.with_name(name), what)
    if config.notify.routes_file is not None:
        yield _key(config.notify.routes_file, f"{_OF_UNIT[CREDENTIAL]} ([notify] routes_file)")
    for name, what in _SECRETS.items():
        yield _key(config.desk.state_dir / name, what)
    yield "- to change any of them: runbooks/key-rotation.md"


def _key(path: Path, what: str) -> str:
    try:
        found = path.stat()
    except OSError:
        return f"- `{path}` (not there): {what}"
    empty = ", empty" if not found.st_size else ""
    return f"- `{path}` (mode {stat.S_IMODE(found.st_mode):04o}, uid {found.st_uid}{empty}): {what}"


def _left_out(config: Any) -> Iterator[str]:
    """Name what next year's officers do not get by this folder: members' work is theirs, and much of it is large."""
    state_dir = config.desk.state_dir
    yield f"- strategies' code: `{config.desk.strategies_dir}`, and the versions that were deployed: `{state_dir / 'versions'}`"
    yield f"- what strategies keep between runs (their `/state`): `{_jails(config) / 'state'}`, one file each"
    yield f"- reports of market days: `{state_dir / 'reports'}`; what strategies printed: `{state_dir / 'logs'}`"
    yield f"- earlier backups of the ledger: `{config.jobs.backup_dir or state_dir / 'backups'}`"
    if config.broker.mode == "embedded":
        yield f"- the embedded exchange's account: `{config.exchange.state or state_dir / 'exchange.db'}`"
    yield "- keys and addresses: keys.md says where they lie"


def _jails(config: Any) -> Path:
    from deskd.supervision.staging import choose_jail_folder

    try:
        return choose_jail_folder(config.sandbox, config.desk.state_dir).root
    except SandboxUnavailable:  # a folder that strategies cannot reach: still the one that is set
        return Path(config.sandbox.jail_dir)


def _versions() -> Iterator[str]:
    import platform
    from importlib.metadata import distributions

    yield f"deskd {__version__}"
    yield f"python {platform.python_version()} at {sys.executable}"
    yield f"kernel {platform.release()} {platform.machine()}"
    yield ""
    yield from sorted({f"{one.metadata['Name']}=={one.version}" for one in distributions()}, key=str.lower)


def _doctor(file: Path) -> Iterator[str]:
    from deskd.cli.doctor import examine

    for check in examine(file, os.environ):
        remedy = f" -> {check.remedy}" if check.remedy else ""
        yield f"{check.verdict:8} {check.check}: {check.found}{remedy}"


def _runbooks(folder: Path, pages: Path = RUNBOOKS) -> None:
    """Copy every page; an installation that lacks them makes no bundle: its README sends people there."""
    missing = [name for name in _NAMED if not (pages / name).is_file()]
    if missing:
        raise NotDone(f"{pages}: {', '.join(missing)} is not there: install this version again (sudo make install)")
    folder.mkdir(mode=0o700)
    for page in sorted(pages.glob("*.md")):
        (folder / page.name).write_text(page.read_text())


def _manifest(folder: Path) -> Iterator[tuple[str, str]]:
    import hashlib

    for file in sorted(folder.rglob("*")):
        if file.is_file():
            with file.open("rb") as content:
                yield hashlib.file_digest(content, "sha256").hexdigest(), file.relative_to(folder).as_posix()
