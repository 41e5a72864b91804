"""Every key of the settings tree, with what may stand there: for errors, for the shipped file, for the reference."""

from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from deskd.config.risk import RiskSection
from deskd.config.settings import Config


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """One key: `sandbox.memory_mb`."""

    section: str
    name: str
    kind: type  # bool, int, float, str, Path, Decimal or tuple
    choices: tuple[str, ...]
    default: object
    description: str
    allowed: str  # for people

    @property
    def key(self) -> str:
        """Return the key with its section, as messages name it."""
        return f"{self.section}.{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One table: `[risk.strategy]`."""

    name: str
    title: str
    leaves: tuple[Leaf, ...]


def sections() -> tuple[Section, ...]:
    """Return the tables that hold keys, in the tree's order."""
    return tuple(_sections("", Config))


def leaves() -> dict[str, Leaf]:
    """Return every key of the tree by its dotted name."""
    return {leaf.key: leaf for section in sections() for leaf in section.leaves}


def _sections(prefix: str, model: type[BaseModel]) -> list[Section]:
    found = []
    for name, info in model.model_fields.items():
        child = info.annotation
        if not (isinstance(child, type) and issubclass(child, BaseModel)):
            continue
        dotted = f"{prefix}{name}"
        section = _section(dotted, child)
        if section.leaves:
            found.append(section)
        found += _sections(f"{dotted}.", child)
    return found


def _is_table(info: FieldInfo) -> bool:
    return (isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel)) or _named(info) is not None


def _named(info: FieldInfo) -> type[BaseModel] | None:
    """Return what each table of `[risk.strategies.NAME]` is; None where the field is no such set of tables."""
    if get_origin(info.annotation) is not dict:
        return None
    child: type[BaseModel] = get_args(info.annotation)[1]
    assert issubclass(child, BaseModel)
    return child


def named_tables() -> dict[str, Section]:
    """Return what stands under a name that an officer gives, by the part before it: `risk.strategies`."""
    return {
        f"risk.{name}": _section(f"risk.{name}.NAME", child)
        for name, info in RiskSection.model_fields.items()
        if (child := _named(info)) is not None
    }


def _section(dotted: str, child: type[BaseModel]) -> Section:
    own = tuple(_leaf(dotted, key, sub) for key, sub in child.model_fields.items() if not _is_table(sub))
    title = (child.__doc__ or "").partition(":")[2].strip().rstrip(".")
    return Section(name=dotted, title=title, leaves=own)


def _leaf(section: str, name: str, info: FieldInfo) -> Leaf:
    annotation, bounds = _unwrap(info.annotation, list(info.metadata))
    choices = tuple(str(c) for c in get_args(annotation)) if get_origin(annotation) is Literal else ()
    kind = str if choices else get_origin(annotation) or annotation
    assert isinstance(kind, type)
    assert info.description, f"{section}.{name} has no description"
    return Leaf(
        section=section,
        name=name,
        kind=kind,
        choices=choices,
        default=info.default,
        description=info.description,
        allowed=_allowed(kind, choices, bounds),
    )


def _unwrap(annotation: Any, bounds: list[Any]) -> tuple[Any, list[Any]]:
    """Return the type under `Annotated` and `| None`, and the bounds met on the way."""
    if get_origin(annotation) is Annotated:
        inner, *metadata = get_args(annotation)
        found = [m for entry in metadata for m in (entry.metadata if isinstance(entry, FieldInfo) else [entry])]
        return _unwrap(inner, bounds + found)
    if get_origin(annotation) in {Union, UnionType}:
        (inner,) = (a for a in get_args(annotation) if a is not NoneType)
        return _unwrap(inner, bounds)
    return annotation, bounds


_NOUNS = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    Decimal: 'an amount, as text ("5000") or number',
    str: "text in quotes",
    Path: "a path in quotes",
    tuple: 'a list of texts, as in ["one", "two"]',
}


def _allowed(kind: type, choices: tuple[str, ...], bounds: list[Any]) -> str:
    if choices:
        return " or ".join(f'"{choice}"' for choice in choices)
    words = []
    for bound in bounds:
        match bound:
            case Gt(gt=limit):
                words.append(f"over {limit}")
            case Ge(ge=limit):
                words.append(f"from {limit}")
            case Lt(lt=limit):
                words.append(f"under {limit}")
            case Le(le=limit):
                words.append(f"to {limit}")
            case _:
                pass
    return " ".join([_NOUNS[kind], *words])
