"""Finds strategies: each folder of strategies_dir is one, or it is broken and says why. One never stops another."""

import itertools
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from deskd.config import MarketSection, RiskExitsSection, RiskScheduleSection, RiskStrategySection
from deskd.config.near import nearest
from deskd.config.section import USER_ID
from deskd.domain.errors import SandboxUnavailable
from deskd.domain.ids import HOUSE, STRATEGY_ID, SYMBOL, StrategyId, Symbol
from deskd.domain.money import parse_decimal
from deskd.domain.shown import one_line
from deskd.domain.strategy import BrokenStrategy, Channel, History, StrategySpec
from deskd.supervision.config_words import in_words
from deskd.supervision.exits import OwnExits, own_exits
from deskd.supervision.folder import FolderError, read_folder
from deskd.supervision.ownership import Owners
from deskd.supervision.requirements import FILE, OwnPackages
from deskd.supervision.schedule import OwnSchedule, own_schedule
from deskd.supervision.wishes import OwnWishes, own_wishes

ENTRIES_MAX = 10_000  # of strategies_dir
CONFIG_BYTES_MAX = 65_536
PROBLEMS_MAX = 5  # told of one strategy by the desk; `deskctl check` tells more
CONFIG_PROBLEMS_MAX = 100  # looked at of one config.json: a hostile one has thousands
PROBLEM_MAX = 1_000  # characters of what is wrong with one: it is kept, and shown at every look
SYMBOLS_MAX = 200
ENV_BYTES_MAX = 16_384
HISTORY_BARS_MAX = 10_000
_KEY = "a key of the desk's broker (not shown): no strategy needs one; have an officer change the key"
_STRATEGY = PurePosixPath("strategy.py")
_CONFIG = PurePosixPath("config.json")
_REQUIREMENTS = PurePosixPath(FILE)
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ENV_REFUSED = re.compile(
    r"(LD_|PYTHON|DESK_|DESKD_|APCA_|ALPACA_|MALLOC_|GLIBC_|LC_).*"  # the loader's, the interpreter's, the desk's
    r"|PATH|HOME|TMPDIR|USER|USER_ID|STRATEGY_ID|LANG|LANGUAGE|TZ|ENV|BASH_ENV|IFS|GCONV_PATH|LOCPATH|NLSPATH"
    r"|(OPENBLAS|OMP|MKL|NUMEXPR|RAYON)_NUM_THREADS|POLARS_MAX_THREADS",
)
_TIMEFRAME = re.compile(r"[1-5]?[0-9]Min|(1?[0-9]|2[0-3])Hour|1Day|1Week|(1|2|3|4|6|12)Month")
_OFFICERS = frozenset(
    {"allow_short", "symbols_allowed", "symbols_denied"}
)  # no numbers: a strategy just leaves them be
_LIMITS = {name: f.description or "" for name, f in RiskStrategySection.model_fields.items() if name not in _OFFICERS}
_TIGHTER_WHEN_MORE = frozenset({"duplicate_window_s", "stop_cooldown_s"})

type CheckSyntax = Callable[[Sequence[bytes]], Sequence[str | None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Defaults:
    """What desk.toml says where a strategy says nothing, and what a strategy may not exceed."""

    market: MarketSection
    risk: RiskStrategySection
    exits: RiskExitsSection = field(default_factory=RiskExitsSection)
    schedule: RiskScheduleSection = field(default_factory=RiskScheduleSection)
    own_packages: OwnPackages | None = None  # None: nobody looks at what requirements.txt asks for
    hide: Callable[[str], str] = str  # the desk's secrets; a folder that holds one is no strategy
    owners: Owners = field(default_factory=Owners)


def discover(
    strategies_dir: Path, defaults: Defaults, check_syntax: CheckSyntax
) -> list[StrategySpec | BrokenStrategy]:
    """Return every strategy in *strategies_dir*, by name."""
    folders = folders_in(strategies_dir)
    found = [
        _read_one(folder, defaults) if defaults.hide(folder.name) == folder.name else (_unnamed(folder, defaults), None)
        for folder in folders
    ]
    sources = [source for _, source in found if source is not None]
    problems = iter(check_syntax(sources))
    return [_with_syntax(spec, None if source is None else next(problems)) for spec, source in found]


def folders_in(strategies_dir: Path) -> list[Path]:
    """Return the folders of strategies; raise SandboxUnavailable, with the remedy, where they cannot be listed."""
    try:
        with os.scandir(strategies_dir) as listed:
            entries = list(itertools.islice(listed, ENTRIES_MAX + 1))
            found = [entry.name for entry in entries if entry.name[0] not in "._" and entry.is_dir()]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        text = f"[desk] strategies_dir={strategies_dir}: cannot be listed ({error.strerror})"
        raise SandboxUnavailable(f"{text}: let the desk's user read it, or name another") from None
    if len(entries) > ENTRIES_MAX:
        text = f"[desk] strategies_dir={strategies_dir}: has more than {ENTRIES_MAX} entries"
        raise SandboxUnavailable(f"{text}: remove what is no strategy, and let nobody but officers add to it")
    return [strategies_dir / name for name in sorted(found)]


def discover_one(folder: Path, defaults: Defaults, check_syntax: CheckSyntax) -> StrategySpec | BrokenStrategy:
    """Return the strategy in *folder*, read anew."""
    spec, source = _read_one(folder, defaults)
    return _with_syntax(spec, None if source is None else check_syntax([source])[0])


def _with_syntax(spec: StrategySpec | BrokenStrategy, problem: str | None) -> StrategySpec | BrokenStrategy:
    if problem is None or isinstance(spec, BrokenStrategy):
        return spec
    return _broken(Path(spec.path), f"{spec.path}/strategy.py: {problem}")


def _unnamed(folder: Path, defaults: Defaults) -> BrokenStrategy:
    """Return the strategy whose folder's name is a secret: it is shown, logged and kept by no name."""
    shown = folder.with_name(defaults.hide(folder.name))
    return _broken(shown, f"{shown}: the folder's name holds {_KEY}: rename the folder")


def _broken(folder: Path, problem: str) -> BrokenStrategy:
    """Return what is said of it: the words of whoever wrote it, cut and escaped."""
    said = one_line(problem)
    said = said if len(said) <= PROBLEM_MAX else f"{said[:PROBLEM_MAX]}…"
    return BrokenStrategy(strategy_id=StrategyId(folder.name), path=folder, problem=said)


@dataclass(frozen=True, slots=True)
class Examined:
    """What a folder holds, and all that is wrong with it; its syntax is still to be judged."""

    spec: StrategySpec | None  # None: something is wrong
    problems: tuple[str, ...]
    files: Mapping[PurePosixPath, bytes]  # empty where they cannot be read
    further: int = 0  # problems of config.json that are not told


def _read_one(folder: Path, defaults: Defaults) -> tuple[StrategySpec | BrokenStrategy, bytes | None]:
    """Return the strategy, and its source where that is still to be compiled."""
    found = examine(folder, defaults)
    if found.spec is not None:
        return found.spec, found.files[_STRATEGY]
    left = len(found.problems[PROBLEMS_MAX:]) + found.further
    more = f"; and {left} more" if left else ""
    return _broken(folder, f"{folder}: {'; '.join(found.problems[:PROBLEMS_MAX])}{more}"), None


def examine(folder: Path, defaults: Defaults, name: str | None = None) -> Examined:
    """Return the strategy in *folder*, or everything that is wrong with it; *name*: where the folder's is not its own."""
    name = name or folder.name
    problems: list[str] = []

    def tried[T](work: Callable[[], T]) -> T | None:
        try:
            return work()
        except FolderError as problem:
            problems.append(str(problem))
            return None

    tried(lambda: check_name(name))
    read = tried(lambda: read_folder(folder))
    if read is None:
        return Examined(None, tuple(problems), {})
    files, code_hash = read
    if leaks := _leaks(files, defaults.hide):  # whatever else is wrong, its words could quote the key
        return Examined(None, leaks, {})
    tried(lambda: _source(files))
    config, wrong, further = _read_config(files.get(_CONFIG, b"{}"))
    if any(defaults.hide(text) != text for text in (*wrong, repr(config))):  # it was written with \u0041 for A
        return Examined(None, (_leak(_CONFIG),), {})
    problems += wrong
    exits = schedule = wishes = member = None
    traded: Sequence[str] = ()
    if config is not None:
        problems += _loose_limits(config, defaults.risk)
        traded = config.symbols if config.symbols is not None else defaults.market.symbols
        exits = tried(lambda: own_exits(config.exits, defaults.exits, traded))
        schedule = tried(lambda: own_schedule(config.schedule, defaults.schedule))
        wishes = tried(lambda: own_wishes(config.notifications))
        member = tried(lambda: defaults.owners.member(StrategyId(name), config.user_id, folder))
    own = defaults.own_packages
    if own is not None:
        tried(lambda: own.check(name, files.get(_REQUIREMENTS)))
    if problems:
        return Examined(None, tuple(problems), files, further)
    assert config is not None, "else there is a problem"
    assert exits is not None
    assert schedule is not None
    assert wishes is not None
    assert member is not None
    spec = StrategySpec(
        strategy_id=StrategyId(name),
        user_id=member,
        name=config.name or name,
        description=config.description,
        version=config.version,
        path=folder,
        code_hash=code_hash,
        symbols=tuple(map(Symbol, traded)),
        channels=frozenset(Channel(channel) for channel in config.channels),
        env=config.env,
        limits={name: parse_decimal(str(value)) for name, value in config.limits.items()},
        history=History(bars=config.history.bars, timeframe=config.history.timeframe) if config.history else None,
        is_enabled=config.enabled,
        exits=exits,
        schedule=schedule,
        wishes=wishes,
    )
    return Examined(spec, (), files)


def _leaks(files: Mapping[PurePosixPath, bytes], hide: Callable[[str], str]) -> tuple[str, ...]:
    """Return which files hold a secret of the desk's: in their name or in what stands there."""
    found = []
    for path, content in files.items():
        text = f"{path}\n{content.decode('latin-1')}"  # keys are ASCII, and every byte is some letter there
        if hide(text) != text:
            found.append(_leak(PurePosixPath(hide(str(path)))))
    return tuple(found)


def _leak(path: PurePosixPath) -> str:
    return f"{path}: holds {_KEY}, and take it out there"


def _source(files: Mapping[PurePosixPath, bytes]) -> None:
    if _STRATEGY not in files:
        raise FolderError("has no strategy.py: put the strategy's code into a file of that name")


def check_name(name: str) -> None:
    """Raise FolderError, with the rule, where no strategy can be called so."""
    if not STRATEGY_ID.fullmatch(name):
        raise FolderError(
            "a strategy's name has a-z, 0-9, _ and - only, starts with a letter or digit, and is at most 48 long: "
            "rename the folder"
        )
    if name == HOUSE:
        raise FolderError(f'"{HOUSE}" is the desk\'s own book: rename the folder')


# --- config.json -----------------------------------------------------------------------------------------------------


def _plain_text(text: str) -> str:
    if not text.isprintable():
        raise ValueError("has control characters: use plain text")
    return text


def _one_symbol(symbol: str) -> str:
    if not SYMBOL.fullmatch(symbol):
        meant = f' (did you mean "{symbol.upper()}"?)' if SYMBOL.fullmatch(symbol.upper()) else ""
        raise ValueError(f'"{symbol}" is no ticker such as "SPY" or "BRK.B"{meant}')
    return symbol


def _symbols(symbols: list[str]) -> list[str]:
    if not symbols:
        raise ValueError("is empty: name at least one, or leave the key out for the desk's own list")
    if len(set(symbols)) != len(symbols):
        raise ValueError("names a symbol twice: name each once")
    return symbols


def _env(env: dict[str, str]) -> dict[str, str]:
    for name, value in env.items():
        if not _ENV_NAME.fullmatch(name):
            raise ValueError(f'"{ascii(name)[1:-1]}" is no name of a variable: use letters, digits and _')
        if _ENV_REFUSED.fullmatch(name):
            raise ValueError(f'"{name}" belongs to the desk or changes how programs are loaded: use another name')
        if "\0" in value:
            raise ValueError(f'"{name}": the value has a zero byte: leave it out')
        if not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
            raise ValueError(f'"{name}": the value has half a character (\\ud800 to \\udfff): leave it out')
    if sum(len(name) + len(value.encode("utf-8", "replace")) for name, value in env.items()) > ENV_BYTES_MAX:
        raise ValueError(f"is over {ENV_BYTES_MAX} bytes together: put data into a file of the folder")
    return env


def _limits(limits: dict[str, Any]) -> dict[str, Any]:
    for name, value in limits.items():
        if name not in _LIMITS:
            meant = nearest(name, _LIMITS)
            hint = f'did you mean "{meant}"?' if meant else f"known are {', '.join(_LIMITS)}"
            raise ValueError(f'"{name}" is no limit: {hint}')
        if isinstance(value, bool) or not isinstance(value, int | Decimal | str):
            raise ValueError(f'"{name}" must be a number')  # noqa: TRY004  pydantic reads ValueErrors
        try:
            number = parse_decimal(str(value))
        except ValueError as error:
            raise ValueError(f'"{name}": {_cut(str(value))} {error}') from None
        if number < 0:
            raise ValueError(f'"{name}": {value} is negative')
    return limits


def _timeframe(timeframe: str) -> str:
    if not _TIMEFRAME.fullmatch(timeframe) or timeframe.startswith("0"):
        raise ValueError(f'"{timeframe}" is no timeframe such as "1Min", "15Min", "1Hour" or "1Day"')
    return timeframe


_STRICT = ConfigDict(extra="forbid", strict=True, frozen=True)
type _Text = Annotated[str, AfterValidator(_plain_text)]


class _History(BaseModel):
    model_config = _STRICT

    bars: int = Field(ge=1, le=HISTORY_BARS_MAX)
    timeframe: Annotated[str, AfterValidator(_timeframe)] = "1Min"


class StrategyConfig(BaseModel):
    """What may stand in config.json."""

    model_config = _STRICT

    user_id: str | None = Field(None, pattern=USER_ID)
    name: _Text | None = Field(None, min_length=1, max_length=100)
    description: _Text = Field("", max_length=1_000)
    version: _Text = Field("0", min_length=1, max_length=50)
    symbols: Annotated[list[Annotated[str, AfterValidator(_one_symbol)]], AfterValidator(_symbols)] | None = Field(
        None, max_length=SYMBOLS_MAX
    )
    channels: list[Literal["trades", "quotes", "bars", "orders", "status"]] = ["trades", "bars"]
    env: Annotated[dict[str, str], AfterValidator(_env)] = {}
    limits: Annotated[dict[str, Any], AfterValidator(_limits)] = {}
    history: _History | None = None
    enabled: bool = True
    exits: OwnExits = OwnExits()
    schedule: OwnSchedule = OwnSchedule()
    notifications: OwnWishes = OwnWishes()


def _read_config(text: bytes) -> tuple[StrategyConfig | None, list[str], int]:
    """Return what stands there, or what is wrong with it, and how much more is."""
    if len(text) > CONFIG_BYTES_MAX:
        return None, [f"config.json: is over {CONFIG_BYTES_MAX} bytes: put data into another file"], 0
    try:
        data = json.loads(text, object_pairs_hook=_once, parse_constant=_refuse_constant, parse_float=Decimal)
    except (ValueError, RecursionError, ArithmeticError) as error:
        return None, [f"config.json: is not JSON ({error}): correct it there"], 0
    if not isinstance(data, dict):
        return None, ['config.json: must be an object: {"symbols": ["SPY"], …}'], 0
    if data.get("history") == {}:
        data = data | {"history": None}  # the documented default
    try:
        return StrategyConfig.model_validate(data), [], 0
    except ValidationError as error:
        told = [_explain(problem) for problem in error.errors()[:CONFIG_PROBLEMS_MAX]]
        return None, told, error.error_count() - len(told)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f'the key "{_cut(key)}" stands there twice')
        found[key] = value
    return found


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


def _explain(problem: Mapping[str, Any]) -> str:
    """Return one problem as: config.json: key, rule, remedy."""
    place = ".".join(_cut(str(part)) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        parts: dict[str, Iterable[str]] = {
            "history": _History.model_fields,
            "exits": OwnExits.model_fields,
            "schedule": OwnSchedule.model_fields,
            "notifications": OwnWishes.model_fields,
        }
        known = parts.get(str(problem["loc"][0]), ()) if "." in place else StrategyConfig.model_fields
        meant = nearest(_cut(str(problem["loc"][-1])), known)
        hint = f'did you mean "{meant}"?' if meant else f"known keys are {', '.join(known)}"
        return f"config.json: {place}: is no known key: {hint}"
    given = problem["input"]
    shown = f" (it is {_shorten(given)})" if isinstance(given, str | int | Decimal | bool) and place != "env" else ""
    return f"config.json: {place}: {in_words(problem)}{shown}"


def _cut(name: str) -> str:
    return name if len(name) <= 60 else f"{name[:60]}…"


def _shorten(value: object) -> str:
    text = str(value) if isinstance(value, Decimal) else json.dumps(value)
    return text if len(text) <= 60 else f"{text[:60]}…"


def _loose_limits(config: StrategyConfig, desk: RiskStrategySection) -> Iterator[str]:
    """Yield what is wrong with each limit that is looser than the desk's."""
    for name, value in config.limits.items():
        said, own = getattr(desk, name), parse_decimal(str(value))
        if said is None:
            continue  # nothing is bounded for strategies alone; a wider scope may
        bound = Decimal(str(said))
        is_looser = own < bound if name in _TIGHTER_WHEN_MORE else own > bound
        if is_looser:
            yield (
                f"config.json: limits.{name}: {value} is looser than the desk's {bound} ({_LIMITS[name]}): "
                "a strategy's limits only tighten; change it, or ask an officer"
            )
