"""The house keeps its own rules: twins, exact money, reasons that somebody can get."""

import ast
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pytest

from deskd.domain.reasons import DenialReason, RefusalReason, RejectReason

ROOT = Path(__file__).parents[1]
DESKD = ROOT / "deskd"

TWINS_ELSEWHERE = {
    "app/__init__.py": "app/test_run.py",  # it is `run`
    "venue/__main__.py": "venue/test_process.py",  # three lines that a process test runs
    "__main__.py": "cli/test_daemon.py",  # two lines that a process test runs
}
GENERATED = DESKD / "wire" / "pb"  # kept fresh by tests/test_protos.py
# Durations and measures of the machine, which no money comes near.
FLOATS = {
    ("domain/run.py", "cpu_seconds"),
    ("domain/run.py", "throttled_seconds"),
    ("domain/strategy.py", "cpu_seconds"),
    ("domain/strategy.py", "throttled_share"),
    # A print of the market, kept as it came: a Decimal when somebody asks for it.
    ("exchange/prices.py", "Raw"),
    ("exchange/prices.py", "float()"),
}


def sources(*rooms: str) -> list[Path]:
    found = chain.from_iterable((DESKD / room).rglob("*.py") for room in rooms or (".",))
    return sorted(path for path in found if GENERATED not in path.parents)


def name_of(path: Path) -> str:
    return path.relative_to(DESKD).as_posix()


def has_behaviour(path: Path) -> bool:
    """Tell whether there is anything to test: words alone (dataclasses, enums, aliases) need no twin."""
    return any(
        isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) for node in ast.walk(ast.parse(path.read_text()))
    )


@pytest.mark.parametrize("path", [p for p in sources() if has_behaviour(p)], ids=name_of)
def test_every_file_with_code_has_its_twin(path: Path) -> None:
    """Whoever changes a file knows where its guarantees stand."""
    name = name_of(path)
    twin = TWINS_ELSEWHERE.get(name, f"{path.parent.relative_to(DESKD)}/test_{path.name}")
    assert (ROOT / "tests" / twin).is_file(), f"deskd/{name} has no twin tests/{twin}"


def test_twins_elsewhere_are_still_needed() -> None:
    """An exception that nobody needs is taken off the list."""
    for name in TWINS_ELSEWHERE:
        assert (DESKD / name).is_file()
        assert not (ROOT / "tests" / Path(name).parent / f"test_{Path(name).name}").exists()


def floats_in(path: Path) -> Iterator[tuple[str, str]]:
    """Yield where the file speaks of floats: annotated names, calls of float(), literals."""
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.AnnAssign(target=ast.Name(id=name), annotation=hint) if "float" in ast.unparse(hint):
                yield name_of(path), name
            case ast.arg(arg=name, annotation=hint) if hint is not None and "float" in ast.unparse(hint):
                yield name_of(path), name
            case ast.FunctionDef(name=name, returns=hint) if hint is not None and "float" in ast.unparse(hint):
                yield name_of(path), name
            case ast.Call(func=ast.Name(id="float")):
                yield name_of(path), "float()"
            case ast.Constant(value=float()):
                yield name_of(path), f"{node.value!r} in line {node.lineno}"
            case ast.TypeAlias(name=ast.Name(id=name), value=hint) if "float" in ast.unparse(hint):
                yield name_of(path), name
            case _:
                pass


def test_there_is_no_float_where_money_is() -> None:
    """A NaN compares false, and lets an order through; a Decimal NaN raises."""
    found = set(chain.from_iterable(map(floats_in, sources("domain", "core", "exchange"))))
    assert found == FLOATS


@pytest.mark.parametrize("reason", [*DenialReason, *RejectReason, *RefusalReason], ids=str)
def test_every_reason_is_given_by_the_code_and_got_by_a_test(
    reason: DenialReason | RejectReason | RefusalReason,
) -> None:
    """A reason that nobody can get is a promise that nobody keeps."""
    given = [p for p in sources() if p.name != "reasons.py" and f".{reason.name}" in p.read_text()]
    assert given, f"{reason} is never given"
    spellings = (f"R.{reason.name}", f"Reason.{reason.name}", f'"{reason.name}"')
    tests = (p for p in (ROOT / "tests").rglob("test_*.py") if p != Path(__file__))
    assert any(spelling in text for text in (p.read_text() for p in tests) for spelling in spellings), (
        f"{reason}: untested"
    )
