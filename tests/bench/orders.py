"""Orders (PERFORMANCE.md 2): from a strategy's call to the broker's, on disk in between, and back."""

import contextlib
import socket
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench.gate import judge_gate
from tests.bench.report import Report, median, quantile
from tests.bench.tools import CACHE, PYTHON, answer, compiled, finish, order, peers_python, process

CALLERS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What the callers of one fresh run saw; and, of the desk, when the broker was called."""

    per_s: float
    p50_us: float
    p99_us: float
    call_p50_us: float
    call_p99_us: float
    statuses: str


type Serve = Callable[[], contextlib.AbstractContextManager[Callable[[str, str, int, float], Sample]]]


def measured(how: str, form: str, seconds: float, addresses: Sequence[str]) -> tuple[list[int], str]:
    """Return the round trips' nanoseconds, in order, and how the answers were."""
    command = [PYTHON, "-m", "tests.bench.callers", how, form, str(seconds), *addresses]
    with process(command) as callers:
        statuses, *took = answer(callers, "took")
    return sorted(int(one) for one in took), statuses


def a_sample(took: list[int], calls: list[int], seconds: float, statuses: str) -> Sample:
    return Sample(
        per_s=len(took) / seconds,
        p50_us=quantile(took, 0.5) / 1e3,
        p99_us=quantile(took, 0.99) / 1e3,
        call_p50_us=quantile(calls, 0.5) / 1e3,
        call_p99_us=quantile(calls, 0.99) / 1e3,
        statuses=statuses,
    )


def desk(broker: str) -> Serve:
    """Serve by the desk, before `broker`: exchange or none. Its ledger lies on the disk of the checkout."""

    @contextlib.contextmanager
    def serve() -> Iterator[Callable[[str, str, int, float], Sample]]:
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE, prefix="orders-") as folder:
            Path(folder).chmod(0o711)  # strategies' uids pass through, so that the jails' files lie in it, too
            command = [PYTHON, "-m", "tests.bench.orders_desk", folder, str(CALLERS), broker]
            with process(command, keeps_errors_in=Path(folder, "log")) as running:
                answer(running, "ready")

                def measure(how: str, form: str, callers: int, seconds: float) -> Sample:
                    order(running, "reset")
                    addresses = [f"{folder}/{n}/order.sock" for n in range(callers)]
                    took, statuses = measured(how, form, seconds, addresses)
                    if "503" in statuses or "error" in statuses:  # fast, and no order: never a figure
                        raise RuntimeError(f"the desk took no orders, nothing was measured: {statuses}")
                    order(running, "report")
                    calls = sorted(int(one) for one in answer(running, "calls"))
                    return a_sample(took, calls, seconds, statuses)

                yield measure
                finish(running)

    return serve


def peer(*, has_database: bool, python: Path) -> Serve:
    """Serve by FastAPI."""

    @contextlib.contextmanager
    def serve() -> Iterator[Callable[[str, str, int, float], Sample]]:
        with tempfile.TemporaryDirectory(dir=CACHE, prefix="orders-") as folder:
            port = free_port()
            database = f"{folder}/orders.db" if has_database else "-"
            with process([python, "-m", "tests.bench.fastapi_peer", str(port), database]):
                _wait_for_port(port)
                yield _at([f"127.0.0.1:{port}"])

    return serve


def echo(program: Path) -> Serve:
    """Serve by nothing but C."""

    @contextlib.contextmanager
    def serve() -> Iterator[Callable[[str, str, int, float], Sample]]:
        with tempfile.TemporaryDirectory(prefix="bench-") as folder, process([program, f"{folder}/echo"]) as running:
            answer(running, "ready")
            yield _at([f"{folder}/echo"])

    return serve


def _at(addresses: list[str]) -> Callable[[str, str, int, float], Sample]:
    def measure(how: str, form: str, callers: int, seconds: float) -> Sample:
        took, statuses = measured(how, form, seconds, addresses * callers)
        return a_sample(took, [], seconds, statuses)

    return measure


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def _wait_for_port(port: int) -> None:
    for _ in range(500):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.02)
    raise TimeoutError(f"nobody listens on {port}")


def _median(samples: Sequence[Sample]) -> Sample:
    return Sample(
        per_s=median([s.per_s for s in samples]),
        p50_us=median([s.p50_us for s in samples]),
        p99_us=median([s.p99_us for s in samples]),
        call_p50_us=median([s.call_p50_us for s in samples]),
        call_p99_us=median([s.call_p99_us for s in samples]),
        statuses=samples[-1].statuses,
    )


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: who serves, which callers, which orders."""

    name: str
    serve: Serve
    how: str
    form: str
    callers: int


def rows(report: Report) -> list[Row]:
    """Return what can be measured here; say what cannot."""
    found = [
        Row("desk to the broker's call, place_order", desk("none"), "place", "small", 1),
        Row("desk to the broker's call, place_order", desk("none"), "place", "small", CALLERS),
        Row("desk to the broker's call", desk("none"), "load", "small", CALLERS),
        Row("desk through the exchange, place_order", desk("exchange"), "place", "small", 1),
        Row("desk through the exchange", desk("exchange"), "load", "small", CALLERS),
        Row("desk, denied by the gate", desk("none"), "load", "large", 1),
        Row("desk, denied by the gate", desk("none"), "load", "large", CALLERS),
    ]
    if python := peers_python():
        for name, has_database in (("FastAPI", False), ("FastAPI and a row in SQLite", True)):
            serve = peer(has_database=has_database, python=python)
            found += [Row(name, serve, "load", "json", callers) for callers in (1, CALLERS)]
    else:
        report.missing("FastAPI", "no peers' environment")
    if program := compiled("echo.c"):
        found += [Row("C echo", echo(program), "load", "small", callers) for callers in (1, CALLERS)]
    else:
        report.missing("C echo", "no C compiler")
    return found


def run(*, is_quick: bool) -> Report:
    """Measure all of it."""
    report = Report("orders")
    seconds, rounds = (1.0, 1) if is_quick else (4.0, 3)
    everybody = rows(report)
    samples: dict[tuple[str, int], list[Sample]] = {}
    for _ in range(rounds):
        for row in list(everybody):
            try:
                with row.serve() as measure:
                    sample = measure(row.how, row.form, row.callers, seconds)
            except (OSError, RuntimeError) as problem:
                if row.name.startswith("desk"):
                    raise
                report.missing(row.name, f"failed with {row.callers} callers: {problem}")
                everybody.remove(row)
            else:
                samples.setdefault((row.name, row.callers), []).append(sample)
    found = {key: _median(value) for key, value in samples.items()}
    columns = ("order round trip", "callers", "orders/s", "p50 µs", "p99 µs", "call p50 µs", "call p99 µs", "answers")
    table = []
    for (name, callers), s in found.items():
        calls = (s.call_p50_us, s.call_p99_us) if s.call_p50_us == s.call_p50_us else (None, None)
        table.append((name, callers, s.per_s, s.p50_us, s.p99_us, *calls, s.statuses))
    report.table("Orders: from the call to its answer; `call`: to the start of the broker's call", columns, table)
    _targets(report, found)
    return report


def _targets(report: Report, found: dict[tuple[str, int], Sample]) -> None:
    placed = "desk to the broker's call, place_order"
    for callers, p50, p99 in ((1, 500, 2_000), (CALLERS, 2_000, 8_000)):
        s = found[placed, callers]
        report.target(
            f"2a K={callers}",
            f"to the broker's call: p50 <= {p50 / 1e3:g} ms, p99 <= {p99 / 1e3:g} ms",
            f"{s.call_p50_us / 1e3:.2f} ms, {s.call_p99_us / 1e3:.2f} ms",
            is_met=s.call_p50_us <= p50 and s.call_p99_us <= p99,
        )
    for name, least in (("desk to the broker's call", 5_000), ("desk through the exchange", 2_000)):
        per_s = found[name, CALLERS].per_s
        report.target("2b", f"{name} >= {least:,} orders/s", f"{per_s:,.0f}", is_met=per_s >= least)
    denied = "desk, denied by the gate"
    if ("FastAPI", 1) in found:
        ratio = found[denied, 1].p50_us / found["FastAPI", 1].p50_us
        report.target("2c K=1", "denied <= 1.5 x FastAPI", f"{ratio:.2f} x", is_met=ratio <= 1.5)
    for name in ("FastAPI", "FastAPI and a row in SQLite"):
        if (name, CALLERS) in found:
            ratio = found[denied, CALLERS].per_s / found[name, CALLERS].per_s
            report.target(f"2c K={CALLERS}", f"denied orders/s ahead of {name}", f"{ratio:.2f} x", is_met=ratio > 1)
    judge_gate(report)
    if {("C echo", 1), ("C echo", CALLERS)} <= found.keys():
        limit = found["C echo", 1]
        report.target(
            "2e",
            "the limit beside",
            f"C echo {limit.p50_us:.0f} µs, {found['C echo', CALLERS].per_s:,.0f}/s",
            is_met=True,
        )
