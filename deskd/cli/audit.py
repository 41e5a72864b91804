"""`deskctl audit` and `deskctl backup`: whether the ledger is whole, up to where it is proved, and copies of it."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from deskd.cli import show
from deskd.cli.call import Call, json_option, pass_call
from deskd.cli.client import DeskNotReachable, NotDone
from deskd.cli.place import config_file, root_of
from deskd.cli.verbs import Verbs
from deskd.domain.errors import LedgerError
from deskd.domain.shown import one_line

DAMAGED = 1
DIGITS = 24  # of a hash or a key in a table; --json and roots.jsonl have all 64
ROOTS: show.Columns = {
    "market day": "market_day",
    "up to entry": "seq",
    "hash": "root",
    "signed (UTC)": "at",
    "key": "public_key",
}

_file = click.Path(path_type=Path, dir_okay=False, exists=True)
db_option = click.option(
    "--db", type=_file, metavar="FILE", help="This ledger, or a backup of one; default: the configured desk's."
)


@click.group(cls=Verbs)
def audit() -> None:
    """Prove that nobody edited the results. No desk needs to run, and a running one is not disturbed."""


@audit.command()
@db_option
@click.option("--root", "roots_file", type=_file, metavar="FILE", help="Roots kept elsewhere: a copy of roots.jsonl.")
@click.option("--key", "key_file", type=_file, metavar="FILE", help="The desk's public keys: a copy of ledger-key.pub.")
@click.option("--backup", "is_backup", is_flag=True, help="FILE may end before the newest roots: it is a copy.")
@json_option
@pass_call
def verify(
    call: Call, *, db: Path | None, roots_file: Path | None, key_file: Path | None, is_backup: bool, as_json: bool
) -> None:
    """Replay every fact; compare every row, rule and signed root with what the facts give.

    Of the configured desk's ledger, its own ledger-key.pub and roots.jsonl are used where none are given. Exit code 0:
    whole; 1: damaged, and the first bad entry is named. A last line of the roots that a kill cut off is told, and no
    damage: its root is in the ledger.
    """
    from deskd.cli.verdict import as_json as for_programs
    from deskd.cli.verdict import report
    from deskd.ledger import roots
    from deskd.ledger.audit import verify as judged

    path = db or configured(call)[0]
    if db is None:
        state_dir = configured(call)[1]
        key_file = key_file or _if_there(state_dir / roots.PUBLIC_KEY)
        roots_file = roots_file or _if_there(state_dir / roots.ROOTS)
    try:
        keys = None if key_file is None else roots.read_public_keys(key_file)
        kept = [] if roots_file is None else roots.read_roots(roots_file)
        cut_off = None if roots_file is None else roots.half_line(roots_file)
    except LedgerError as error:
        raise click.UsageError(str(error)) from None
    with progress() as on_progress:
        verdict = judged(path, keys=keys, kept=kept, is_backup=is_backup, on_progress=on_progress)
    if as_json:
        told = for_programs(path, verdict, key_file=key_file, roots_file=roots_file)
        show.as_json({**told, "roots_cut_off": cut_off})
    else:
        lines = [*report(path, verdict, key_file=key_file), *([cut_off] if cut_off else [])]
        click.echo("\n".join(map(one_line, lines)))
    if not verdict.is_whole:
        sys.exit(DAMAGED)


@audit.command()
@db_option
@json_option
@pass_call
def roots(call: Call, *, db: Path | None, as_json: bool) -> None:
    """List the signed roots, the newest last. `audit verify` checks them."""
    from deskd.ledger.roots import signed

    with _said():
        rows = signed(db or configured(call)[0])
    if as_json:
        show.as_json(rows)
    else:
        shown = [row | {key: f"{str(row[key])[:DIGITS]}…" for key in ("root", "public_key")} for row in rows]
        show.table(ROOTS, shown, nothing="no roots yet: one is signed as each market day ends; now: deskctl audit sign")


@audit.command()
@json_option
@pass_call
def sign(call: Call, *, as_json: bool) -> None:
    """Sign a root now, over all that is on disk; it is appended to roots.jsonl."""
    try:
        root = call.desk().command("/sign", {}).body["root"]
    except DeskNotReachable:
        root = _signed_at_rest(call)
    if as_json:
        show.as_json({"root": root})
    elif root is None:
        click.echo("nothing to sign: all is signed")
    else:
        click.echo(f"signed up to entry {root['seq']:,}: {root['root']}")


def _signed_at_rest(call: Call) -> object:
    """Sign with no desk running; raise NotDone where one holds the ledger after all."""
    import asyncio

    from deskd.ledger.roots import sign_at_rest
    from deskd.ports import SystemClock

    path, state_dir = configured(call)
    with _said():
        root = asyncio.run(sign_at_rest(path, state_dir, SystemClock().now()))
    if root is None:
        return None
    return {"market_day": root.market_day.isoformat(), "seq": root.seq, "root": root.root}


@audit.command()
@db_option
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="A new file; default: standard output.",
)
@json_option
@pass_call
def export(call: Call, *, db: Path | None, out: Path | None, as_json: bool) -> None:
    """Write every fact as a line of JSON (docs/reference/facts.md): enough to make the ledger again.

    On standard output the lines are all there is, with --json or without; with --out it says how many there were.
    """
    from deskd.ledger.export import export as exported
    from deskd.ledger.export import written

    path = db or configured(call)[0]
    with _said(), progress(is_shown=out is not None) as on_progress:
        if out is None:
            chain = exported(path, sys.stdout.buffer.write, on_progress=on_progress)
            sys.stdout.buffer.flush()
        else:
            chain = written(path, out, on_progress=on_progress)
    if as_json and out is not None:
        show.as_json({"file": str(out), "facts": chain.seq, "last_hash": chain.hash})
    else:
        click.echo(f"{chain.seq:,} facts, last hash {chain.hash}", err=True)


@audit.command()
@click.argument("file", type=_file)
@click.option("--db", "target", type=click.Path(path_type=Path, dir_okay=False), metavar="NEW", required=True)
@json_option
def rebuild(file: Path, *, target: Path, as_json: bool) -> None:
    """Make a fresh ledger NEW of an export, tables and all; a line that is not what the desk wrote is named."""
    from deskd.ledger.export import rebuild as rebuilt

    with _said(), file.open("rb") as lines, progress() as on_progress:
        chain = rebuilt(lines, target, on_progress=on_progress)
    if as_json:
        show.as_json({"file": str(target), "facts": chain.seq, "last_hash": chain.hash})
    else:
        click.echo(f"{target}: {chain.seq:,} facts, last hash {chain.hash}")


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@json_option
@pass_call
def backup(call: Call, file: Path, *, as_json: bool) -> None:
    """Copy the ledger into the new FILE, of one moment, while the desk runs or not.

    Where the desk may not write (under its unit: in homes, in /tmp, on other disks) whoever may read the ledger copies
    it themselves: officers and root. For the backups of each day such a disk is named in the unit: officers' guide.
    """
    from deskd.cli.copying import copy_of

    said = copy_of(call, file.parent.resolve() / file.name, lambda: configured(call)[0])
    if as_json:
        show.as_json(said)
    else:
        show.say(f"{said['file']}: {said['facts']:,} facts, last hash {said['last_hash']}")
        show.say(f"to be sure of every row: deskctl audit verify --db {said['file']}")


# --- what they share ----------------------------------------------------------------------------------------------------


def configured(call: Call) -> tuple[Path, Path]:
    """Return the configured desk's ledger, which must be there, and its state_dir."""
    from deskd.config.load import load

    file = config_file(call.config)
    desk = load(file, root=root_of(file), environment=os.environ).config.desk
    path = desk.db_path or desk.state_dir / "desk.db"
    if not path.exists():
        raise click.UsageError(f"there is no ledger {path} yet: name one with --db, or start the desk")
    if not os.access(path, os.R_OK):  # else it would be called damaged
        raise NotDone(
            f"{path}: the ledger is kept by officers, and you may not read it; `deskctl orders` shows yours "
            "(an officer: log in anew if the group is newer than your login, or use sudo)"
        )
    return path, desk.state_dir


def _if_there(path: Path) -> Path | None:
    return path if path.exists() else None


@contextmanager
def _said() -> Iterator[None]:
    try:
        yield
    except LedgerError as error:
        raise NotDone(str(error)) from None


@contextmanager
def progress(*, is_shown: bool = True) -> Iterator[Callable[[int], None] | None]:
    """Hand out what shows how far the work is, on a terminal."""
    if not is_shown or not sys.stderr.isatty():
        yield None
        return
    try:
        yield lambda seq: click.echo(f"\r{seq:,} facts", nl=False, err=True)
    finally:
        click.echo("\r\033[K", nl=False, err=True)
