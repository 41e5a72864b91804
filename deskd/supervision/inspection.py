"""Judges a strategy's folder before it is deployed (`deskctl check`): all that is wrong at once, and what students get wrong.

Rule 1: what a deployment refuses is found by the code of the deployment (discovery.py, syntax.py).
Rule 2: nothing of the folder is executed, and its source is read in another process, within bounds.
Rule 3: BAD is what does not work. What works and is probably not meant is a WARNING: few, and right.
"""

import json
import re
import subprocess
from collections import deque
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from json.decoder import scanstring  # type: ignore[attr-defined]  # C or Python, it is always there
from pathlib import Path, PurePosixPath
from typing import Any

from deskd.config import Config
from deskd.domain.errors import SandboxUnavailable
from deskd.domain.shown import one_line
from deskd.domain.strategy import Channel, StrategySpec
from deskd.supervision import environment
from deskd.supervision.discovery import Defaults, examine
from deskd.supervision.ownership import Owners
from deskd.supervision.requirement_lines import canonical
from deskd.supervision.requirements import FILE, OwnPackages
from deskd.supervision.staging import choose_jail_folder, describe
from deskd.supervision.syntax import SOURCE_BYTES_MAX, check_sources

BAD, WARNING = "bad", "warning"
STRATEGY, CONFIG, REQUIREMENTS = "strategy.py", "config.json", FILE
FILES_READ_MAX = 50  # of the folder's own modules
FOUND_MAX = 1_000  # characters
_READER = Path(__file__).with_name("source_reader.py")
_READ_S = 30.0  # it may work for 4 s; the rest is a busy machine
# Part of the standard library, and not of jails (staging.py): there is no screen, and nothing is installed.
_NOT_IN_JAILS = frozenset({"tkinter", "turtle", "turtledemo", "idlelib", "ensurepip", "test"})
_OURS = frozenset({"desk_client", "google"})
_NETWORK = frozenset(
    "requests httpx aiohttp urllib3 websocket websockets yfinance ccxt alpaca alpaca_trade_api ftplib smtplib".split()  # noqa: SIM905
)
_NETWORK_PARTS = ("urllib.request", "http.client")
_NO_NETWORK = "strategies have no network: the market comes on standard input, orders leave by desk_client.place_order"
_WORDS: Mapping[str, str] = {
    "answer_unread": "nobody reads the answer of place_order: a denied or rejected order goes unseen; "
    "keep it, and print its status and message",
    "waits_for_the_end": "reads standard input up to its end, which comes when the desk stops the strategy: "
    "read line by line, `for line in sys.stdin`",
    "writes_in_its_folder": "the strategy's folder cannot be written by it: write to /state, which is kept, or to /tmp",
    "never_ends": "readline() returns an empty text at the end of input, and this loop goes on: end it there, "
    "or write `for line in sys.stdin`",
    "sleeps": "while it sleeps lines pile up, and prices are conflated away: keep the time of the last action, "
    "and compare it with the line's timestamp",
    "prints_each_line": "prints on every line of the market: beyond [sandbox] log_bytes_per_s that ends the run "
    "(log_flood); print decisions",
    "price_may_lack": '`order`, `status` and `gap` lines have no price: look at `message["type"]` first',
}

type Place = tuple[int, int]  # line, column


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is wrong, or probably not meant."""

    verdict: str
    rule: str  # a stable word: folder, config, requirements, syntax, import, network, symbol, or one of a mistake
    found: str  # and what to do
    file: str | None = None  # in the folder; None: the folder itself
    place: Place | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Packages:
    """What strategies can import, as far as it can be told without a running desk."""

    modules: frozenset[str]
    installed: Mapping[str, str]  # package: version
    awaited: frozenset[str]  # modules that [sandbox] packages names, and nobody has built here
    own: OwnPackages
    interpreter: Path


def inspect(folder: Path, config: Config, name: str | None = None) -> tuple[StrategySpec | None, list[Finding]]:
    """Return the strategy, where it is one, and all that is to be said of it."""
    packages = packages_of(config)
    risk = config.risk
    defaults = Defaults(
        market=config.market,
        risk=risk.strategy,
        exits=risk.exits,
        schedule=risk.schedule,
        own_packages=packages.own,
        owners=Owners(named={name: own.member for name, own in risk.strategies.items() if own.member is not None}),
    )
    examined = examine(folder, defaults, name)
    files = examined.files
    found = [_of_folder(problem, files) for problem in examined.problems]
    if examined.further:
        text = f"has {examined.further} further problems: correct these first"
        found.append(Finding(verdict=BAD, rule="config", found=text, file=CONFIG))
    source = files.get(PurePosixPath(STRATEGY))
    if source is not None:
        found += _of_sources(files, packages, examined.spec)
    if examined.spec is not None:
        found += _of_symbols(examined.spec, config)
    spec = None if any(one.verdict == BAD for one in found) else examined.spec
    return spec, sorted(found, key=lambda one: (one.verdict != BAD, one.file or "", one.place or (0, 0)))


# --- the folder and its config.json -----------------------------------------------------------------------------------


def _of_folder(problem: str, files: Mapping[PurePosixPath, bytes]) -> Finding:
    shown = one_line(problem)[:FOUND_MAX]
    for file, rule in ((CONFIG, "config"), (REQUIREMENTS, "requirements")):
        if problem.startswith(f"{file}: "):
            found = shown.removeprefix(f"{file}: ")
            text = files.get(PurePosixPath(file), b"").decode("utf-8", "replace")
            place = place_in_json(text, problem) if rule == "config" else _line_named(problem)
            return Finding(verdict=BAD, rule=rule, found=found, file=file, place=place)
    return Finding(verdict=BAD, rule="folder", found=shown)


def _line_named(problem: str) -> Place | None:
    named = re.search(r"\bline (\d+)(?: column (\d+))?", problem)
    return None if named is None else (int(named[1]), int(named[2] or 1))


def place_in_json(text: str, problem: str) -> Place | None:
    """Return where the key stands that the problem names, or its own line and column."""
    if "is not JSON" in problem:
        return _line_named(problem)
    path = problem.split(": ")[1].split(".")
    known = dict(_keys(text))
    for length in range(len(path), 0, -1):
        if (at := known.get(tuple(path[:length]))) is not None:
            return text.count("\n", 0, at) + 1, at - (text.rfind("\n", 0, at))
    return None


def _keys(text: str) -> Iterator[tuple[tuple[str, ...], int]]:
    """Yield the path of each key, and where it begins. The text is JSON."""
    above: list[tuple[str, ...]] = []
    path: tuple[str, ...] = ()
    at, key = 0, ""
    while at < len(text):
        match text[at]:
            case '"':
                begin = at
                word, at = scanstring(text, at + 1, False)
                if re.match(r"\s*:", text[at:]):
                    key = word
                    yield (*path, key), begin
                continue
            case "{":
                above.append(path)
                path = (*path, key) if key else ()
            case "}" if above:
                path = above.pop()
            case _:
                pass
        at += 1


# --- sources ----------------------------------------------------------------------------------------------------------


def _of_sources(
    files: Mapping[PurePosixPath, bytes], packages: Packages, spec: StrategySpec | None
) -> Iterator[Finding]:
    """Read strategy.py, and those of the folder's own modules that it leads to."""
    own = {path.parts[0].removesuffix(".py") for path in files if path.suffix == ".py"}
    todo, seen = deque([PurePosixPath(STRATEGY)]), set[PurePosixPath]()
    reads, is_known = False, True
    while todo and len(seen) < FILES_READ_MAX:
        path = todo.popleft()
        if path in seen or path not in files:
            continue
        seen.add(path)
        [problem] = check_sources([files[path]], packages.interpreter)
        told = None if len(files[path]) > SOURCE_BYTES_MAX else _read(files[path], packages.interpreter)
        if problem is not None:
            place = tuple(told["syntax"]) if told is not None and told["syntax"] else None
            text = re.sub(r"^line \w+: ", "", problem) if place else problem
            yield Finding(verdict=BAD, rule="syntax", found=one_line(text), file=str(path), place=place)
            is_known = False
        elif told is None:
            yield Finding(verdict=WARNING, rule="syntax", found="cannot be read through: simplify it", file=str(path))
            is_known = False
        else:
            yield from _of_imports(told, path, own, packages, asks_for_more=PurePosixPath(REQUIREMENTS) in files)
            yield from _of_mistakes(told, path, spec)
            reads = reads or told["reads"]
            for name, *_ in told["imports"]:
                todo += _own_files(name, own)
    if is_known and not reads:
        yield Finding(
            verdict=WARNING,
            rule="reads_nothing",
            found="nothing reads standard input, on which the market comes: `for line in sys.stdin`, or "
            "`MyStrategy().run()`; what lets lines wait is ended (stalled)",
            file=STRATEGY,
        )


def _own_files(module: str, own: Collection[str]) -> list[PurePosixPath]:
    parts = module.split(".")
    if parts[0] not in own:
        return []
    path = PurePosixPath(*parts)
    return [path.with_suffix(".py"), path / "__init__.py", PurePosixPath(parts[0]) / "__init__.py"]


def _read(source: bytes, python: Path) -> dict[str, Any] | None:
    """Return what another process reads there; None where it fails."""
    command = [str(python), "-I", "-S", "-W", "ignore", str(_READER)]
    try:
        ran = subprocess.run(command, input=source, capture_output=True, check=False, timeout=_READ_S)
        told: dict[str, Any] = json.loads(ran.stdout)
    except (OSError, subprocess.TimeoutExpired, ValueError):
        return None
    return told


def _of_imports(
    told: Mapping[str, Any], path: PurePosixPath, own: Collection[str], packages: Packages, *, asks_for_more: bool
) -> Iterator[Finding]:
    stdlib = set(told["stdlib"]) - _NOT_IN_JAILS
    for name, line, column, is_provided_for in told["imports"]:
        top, place, file = name.partition(".")[0], (line, column), str(path)
        if top in own:
            continue
        if top in _NETWORK or name.startswith(_NETWORK_PARTS):
            is_there = is_provided_for or top in stdlib | packages.modules
            verdict = WARNING if is_there else BAD
            yield Finding(verdict=verdict, rule="network", found=f"{name}: {_NO_NETWORK}", file=file, place=place)
        elif top in _NOT_IN_JAILS:
            text = f"{top}: jails have no screen and no installer, and not this module: do without"
            yield Finding(
                verdict=WARNING if is_provided_for else BAD, rule="import", found=text, file=file, place=place
            )
        elif not is_provided_for and top not in stdlib | _OURS | packages.modules:
            remedy = environment.remedy_for(top, packages.installed) or f"{top}: this Python does not have it"
            verdict = WARNING if top in packages.awaited or asks_for_more else BAD
            yield Finding(verdict=verdict, rule="import", found=one_line(remedy), file=file, place=place)


def _of_mistakes(told: Mapping[str, Any], path: PurePosixPath, spec: StrategySpec | None) -> Iterator[Finding]:
    channels = spec.channels if spec is not None else frozenset(Channel)
    for line, column, what in told["findings"]:
        rule, _, where = what.partition(" ")
        if rule == "prints_each_line" and not _is_hot(where, channels):
            continue
        if rule == "price_may_lack" and not channels & {Channel.ORDERS, Channel.STATUS}:
            continue
        yield Finding(verdict=WARNING, rule=rule, found=_WORDS[rule], file=str(path), place=(line, column))


def _is_hot(where: str, channels: Collection[Channel]) -> bool:
    """Return whether many lines a second come there."""
    meant = {"on_trade": {Channel.TRADES}, "on_quote": {Channel.QUOTES}, "loop": {Channel.TRADES, Channel.QUOTES}}
    return bool(meant.get(where, set()) & set(channels))


# --- what the desk has and allows -------------------------------------------------------------------------------------


def _of_symbols(spec: StrategySpec, config: Config) -> Iterator[Finding]:
    risk = config.risk
    tables = {
        "risk.desk": risk.desk,
        "risk.member": risk.member,
        f"risk.members.{spec.user_id}": risk.members.get(spec.user_id),
        "risk.strategy": risk.strategy,
        f"risk.strategies.{spec.strategy_id}": risk.strategies.get(spec.strategy_id),
    }
    closing = {
        name: [
            symbol
            for symbol in spec.symbols
            if symbol in (of.symbols_denied or ()) or (of.symbols_allowed and symbol not in of.symbols_allowed)
        ]
        for name, of in tables.items()
        if of is not None
    }
    closed = [symbol for symbol in spec.symbols if any(symbol in symbols for symbols in closing.values())]
    if closed:
        where = ", ".join(f"[{name}]" for name, symbols in closing.items() if symbols)
        key = "symbols_denied and symbols_allowed"
        text = f"{', '.join(closed)}: this desk takes no orders in them ({where} {key}): watch them, or ask an officer"
        verdict = BAD if len(closed) == len(spec.symbols) else WARNING
        yield Finding(verdict=verdict, rule="symbol", found=text, file=CONFIG)


def packages_of(config: Config) -> Packages:
    """Return what strategies of this desk can import; it looks at files alone."""
    section = config.sandbox
    described = describe(section.python)
    python = str(described["name"])
    try:
        root = choose_jail_folder(section, config.desk.state_dir).root
    except SandboxUnavailable:
        root = config.desk.state_dir
    if section.python is None:
        shared = environment.home_of(root).current(python)
        sites = [] if shared is None else [shared]
    else:
        listed = described["packages"]
        assert isinstance(listed, list)
        sites = [Path(str(one)) for one in listed]
    installed = {"protobuf": version("protobuf")}
    for site in sites:
        installed |= {canonical(name): number for name, number in environment.versions_in(site).items()}
    modules = frozenset(name for site in sites for name in _importable(site))
    own = OwnPackages(root=root / "own", policy=section.requirements, shared=installed, python=python)
    awaited = frozenset(
        name
        for entry in (section.packages if section.python is None else ())
        if canonical(package := re.split(r"[=<>\[]", entry, maxsplit=1)[0]) not in installed
        for name in environment.imported_as(package)
    )
    return Packages(
        modules=modules, installed=installed, awaited=awaited, own=own, interpreter=Path(str(described["executable"]))
    )


def _importable(site: Path) -> Iterator[str]:
    for entry in site.iterdir() if site.is_dir() else ():
        name = entry.name.partition(".")[0]
        if name.isidentifier() and (entry.suffix in {".py", ".so"} or (entry.is_dir() and "." not in entry.name)):
            yield name
