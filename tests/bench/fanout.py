"""Market data to strategies (PERFORMANCE.md 1): CPU per line, latency, many runs, and one that never reads."""

import array
import contextlib
import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench.report import Report, median, quantile
from tests.bench.tools import (
    NATS,
    PYTHON,
    REDIS,
    answer,
    compiled,
    cpu_ns,
    debian_program,
    order,
    peers_python,
    process,
    wait_for,
)

WARM_S = 0.3
GRACE_S = 5.0  # for readers to get what is still under way
PIPED = ("C relay", "desk", "desk on asyncio")


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What the market sends, and to how many."""

    readers: int
    rate: float  # messages a second
    batch: int  # messages in a frame
    seconds: float
    is_one_stuck: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What one fresh run of a contestant brought. A line is one message at one reader."""

    cpu_us: float  # a line, of the fan-out alone
    p50_us: float
    p99_us: float
    lines_per_s: float
    share: float  # of the lines that were sent


@dataclass(frozen=True, slots=True, kw_only=True)
class Peers:
    """The programs that could be had."""

    python: Path | None
    relay: Path | None
    redis: list[str] | None
    nats: list[str] | None


@dataclass(frozen=True, slots=True)
class Contestant:
    """Somebody's fan-out: how its readers listen, and how it is started."""

    name: str
    kind: str  # of readers
    server: Callable[[str], list[str]] | None  # the command of a server beside it, by its address
    command: Callable[[int, str, Sequence[int]], list[str]]  # by the market's port, the address, the pipes


def contestants(peers: Peers) -> dict[str, Contestant]:
    """Return those that can run here."""
    found = [
        Contestant("desk", "stdin", None, _desk("uvloop")),
        Contestant("desk on asyncio", "stdin", None, _desk("asyncio")),
    ]
    if peers.relay:
        relay = str(peers.relay)
        found.append(Contestant("C relay", "stdin", None, lambda port, _, fds: [relay, str(port), *map(str, fds)]))
    if peers.python:
        python = str(peers.python)

        def peer(kind: str) -> Callable[[int, str, Sequence[int]], list[str]]:
            return lambda port, address, _: [python, "-m", "tests.bench.peers", kind, str(port), address]

        if redis := peers.redis:
            serve = [*redis, "--port", "0", "--save", "", "--appendonly", "no", "--unixsocket"]
            found.append(Contestant("Redis", "redis", lambda address: [*serve, address], peer("redis")))
        if nats := peers.nats:
            found.append(Contestant("NATS", "nats", lambda address: [*nats, *_nats_arguments(address)], peer("nats")))
        found.append(Contestant("ZeroMQ", "zmq", None, peer("zmq")))
        found.append(Contestant("gRPC", "grpc", None, peer("grpc")))
    return {contestant.name: contestant for contestant in found}


def _desk(loop: str) -> Callable[[int, str, Sequence[int]], list[str]]:
    return lambda port, _, fds: [PYTHON, "-m", "tests.bench.hub_alone", str(port), loop, *map(str, fds)]


def _nats_arguments(address: str) -> list[str]:
    host, _, port = address.removeprefix("nats://").partition(":")
    return ["-a", host, "-p", port]


def _address(kind: str, folder: str) -> str:
    match kind:
        case "nats":
            with socket.create_server(("127.0.0.1", 0)) as free:
                return f"nats://127.0.0.1:{free.getsockname()[1]}"
        case "zmq":
            return f"ipc://{folder}/lines"
        case "grpc":
            return f"unix:{folder}/lines"
        case _:
            return f"{folder}/lines"


@contextlib.contextmanager
def pipes(count: int) -> Iterator[tuple[list[int], list[int]]]:
    """Give pipes: what reads, what writes. Ours are closed at the end, or before by `close`."""
    pairs = [os.pipe() for _ in range(count)]
    try:
        yield [reads for reads, _ in pairs], [writes for _, writes in pairs]
    finally:
        close([fd for pair in pairs for fd in pair])


def close(fds: Sequence[int]) -> None:
    for fd in fds:
        with contextlib.suppress(OSError):
            os.close(fd)


def measure(contestant: Contestant, peers: Peers, load: Load) -> Sample:
    """Start the contestant fresh, send it the load, and return what its readers saw."""
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-"))
        address = _address(contestant.kind, folder)
        pids = []
        if contestant.server:
            server = stack.enter_context(process(contestant.server(address), is_quiet=True))
            pids.append(server.pid)
            _wait_for_server(address)
        source = stack.enter_context(process([PYTHON, "-m", "tests.bench.source", str(load.batch)]))
        port = int(answer(source, "port")[0])

        is_piped = contestant.kind == "stdin"
        reads, writes = stack.enter_context(pipes(load.readers if is_piped else 0))
        python = PYTHON if is_piped else str(peers.python)
        kind = "stuck" if load.is_one_stuck else contestant.kind
        command = [python, "-m", "tests.bench.readers", kind, str(load.readers), folder, address, *map(str, reads)]
        readers = stack.enter_context(process(command, pass_fds=reads))
        fan_out = stack.enter_context(process(contestant.command(port, address, writes), pass_fds=writes))
        close([*reads, *writes])
        pids.append(fan_out.pid)
        answer(source, "subscribed")
        answer(readers, "ready")

        order(source, f"warm {load.rate} {WARM_S}")
        answer(source, "done")
        began, cpu = time.monotonic(), cpu_ns(*pids)
        order(source, f"go {load.rate} {load.seconds}")
        sent = int(answer(source, "done")[0])
        order(source, "end")
        _wait(readers.pid, folder, load.readers - load.is_one_stuck)
        took, cpu = time.monotonic() - began, cpu_ns(*pids) - cpu
        readers.terminate()
        readers.wait(GRACE_S)
        latencies = _latencies(folder)
    lines = len(latencies)
    expected = sent * (load.readers - load.is_one_stuck)
    return Sample(
        cpu_us=cpu / 1e3 / max(lines, 1),
        p50_us=quantile(latencies, 0.5) / 1e3,
        p99_us=quantile(latencies, 0.99) / 1e3,
        lines_per_s=lines / took,
        share=lines / expected,
    )


def _wait_for_server(address: str) -> None:
    if not address.startswith("nats"):
        wait_for(Path(address))
        return
    port = int(address.rsplit(":", 1)[1])
    for _ in range(200):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.02)


def _wait(pid: int, folder: str, count: int) -> None:
    """Return when so many readers have ended, or the grace is over."""
    deadline = time.monotonic() + GRACE_S
    while len(list(Path(folder).glob("*.bin"))) < count and time.monotonic() < deadline:
        time.sleep(0.005)


def _latencies(folder: str) -> list[int]:
    merged = array.array("q")
    for path in Path(folder).glob("*.bin"):
        merged.frombytes(path.read_bytes())
    return sorted(merged)


def interleaved(
    report: Report, names: Sequence[str], among: dict[str, Contestant], peers: Peers, *, load: Load, rounds: int
) -> dict[str, Sample]:
    """Return each contestant's medians over rounds A B C, A B C, ..."""
    samples: dict[str, list[Sample]] = {name: [] for name in names if name in among}
    for _ in range(rounds):
        for name, found in list(samples.items()):
            try:
                found.append(measure(among[name], peers, load))
            except (OSError, RuntimeError, subprocess.SubprocessError) as problem:
                if name == "desk":
                    raise
                report.missing(name, f"failed at {load.readers} readers: {problem}")
                del samples[name]
    return {name: _median(found) for name, found in samples.items()}


def _median(samples: Sequence[Sample]) -> Sample:
    return Sample(
        cpu_us=median([sample.cpu_us for sample in samples]),
        p50_us=median([sample.p50_us for sample in samples]),
        p99_us=median([sample.p99_us for sample in samples]),
        lines_per_s=median([sample.lines_per_s for sample in samples]),
        share=median([sample.share for sample in samples]),
    )


def run(*, is_quick: bool) -> Report:
    """Measure all of it."""
    report = Report("fanout")
    peers = Peers(
        python=peers_python(),
        relay=compiled("relay.c"),
        redis=debian_program("redis-server", REDIS),
        nats=debian_program("nats-server", NATS),
    )
    among = contestants(peers)
    for name, why in {
        "C relay": "no C compiler",
        "Redis": "neither installed nor fetched, or no peers' environment",
        "NATS": "neither installed nor fetched, or no peers' environment",
        "ZeroMQ": "no peers' environment",
        "gRPC": "no peers' environment",
    }.items():
        if name not in among:
            report.missing(name, why)
    rounds = 1 if is_quick else 5
    if is_quick:
        del among["desk on asyncio"]
    _cpu(report, among, peers, rounds, seconds=1.0 if is_quick else 3.0)
    _latency(report, among, peers, rounds, seconds=1.0 if is_quick else 4.0)
    _many(report, among, peers, rounds, seconds=2.0 if is_quick else 5.0)
    _stuck(report, among, peers, 2 if is_quick else 5, seconds=1.0 if is_quick else 4.0)
    return report


def _cpu(report: Report, among: dict[str, Contestant], peers: Peers, rounds: int, seconds: float) -> None:
    rows, ratios = [], {}
    for readers, rate in ((10, 4_000), (50, 2_000), (200, 500)):
        load = Load(readers=readers, rate=rate, batch=20, seconds=seconds)
        found = interleaved(report, PIPED, among, peers, load=load, rounds=rounds)
        limit = found.get("C relay")
        for name, sample in found.items():
            ratio = sample.cpu_us / limit.cpu_us if limit else None
            rows.append((name, readers, sample.cpu_us, ratio, sample.share))
            if name == "desk":
                ratios[readers] = ratio
    columns = ("fan-out", "readers", "CPU µs/line", "x C relay", "delivered")
    report.table("CPU per line, 20 messages a frame", columns, rows)
    for readers in (50, 200):
        ratio = ratios[readers]
        report.target(
            f"1a N={readers}",
            "CPU a line <= 1.5 x the C relay",
            "no C relay" if ratio is None else f"{ratio:.2f} x",
            is_met=None if ratio is None else ratio <= 1.5,
        )


def _latency(report: Report, among: dict[str, Contestant], peers: Peers, rounds: int, seconds: float) -> None:
    names = ("C relay", "desk", "Redis", "NATS", "ZeroMQ", "gRPC")
    rows = []
    verdicts = []
    for rate in (1_000, 5_000):
        load = Load(readers=10, rate=rate, batch=1, seconds=seconds)
        found = interleaved(report, names, among, peers, load=load, rounds=rounds)
        rows += [(name, rate, s.p50_us, s.p99_us, s.cpu_us, s.share) for name, s in found.items()]
        desk = found["desk"].p50_us
        if limit := found.get("C relay"):
            verdicts.append((f"1b {rate}/s", "p50 <= 1.5 x the C relay", desk / limit.p50_us, 1.5))
        verdicts += [
            (f"1b {rate}/s", f"p50 ahead of {name}", desk / found[name].p50_us, 1.0)
            for name in names[2:]
            if name in found
        ]
    columns = ("fan-out", "messages/s", "p50 µs", "p99 µs", "CPU µs/line", "delivered")
    report.table("Latency from the market's frame to the strategy's parsed line, 10 readers", columns, rows)
    for name, says, ratio, bound in verdicts:
        report.target(name, says, f"{ratio:.2f} x", is_met=ratio <= bound)


def _many(report: Report, among: dict[str, Contestant], peers: Peers, rounds: int, seconds: float) -> None:
    load = Load(readers=200, rate=1_000, batch=1, seconds=seconds)
    found = interleaved(report, ("C relay", "desk", "Redis"), among, peers, load=load, rounds=rounds)
    columns = ("fan-out", "lines/s", "p50 ms", "p99 ms", "delivered")
    rows = [(name, s.lines_per_s, s.p50_us / 1e3, s.p99_us / 1e3, s.share) for name, s in found.items()]
    report.table("200 readers, 1,000 messages a second, one a frame", columns, rows)
    desk, redis = found["desk"], found.get("Redis")
    ratio = desk.lines_per_s / redis.lines_per_s if redis else None
    report.target(
        "1c",
        "lines/s >= 2 x Redis",
        "no Redis" if ratio is None else f"{ratio:.2f} x",
        is_met=None if ratio is None else ratio >= 2,
    )
    report.target("1c", "p99 lag <= 250 ms", f"{desk.p99_us / 1e3:.0f} ms", is_met=desk.p99_us <= 250_000)


def _stuck(report: Report, among: dict[str, Contestant], peers: Peers, rounds: int, seconds: float) -> None:
    samples: dict[bool, list[Sample]] = {False: [], True: []}
    for _ in range(rounds):
        for is_one_stuck, found in samples.items():
            load = Load(readers=10 + is_one_stuck, rate=5_000, batch=5, seconds=seconds, is_one_stuck=is_one_stuck)
            found.append(measure(among["desk"], peers, load))
    without, beside = _median(samples[False]), _median(samples[True])
    columns = ("desk", "p50 µs", "p99 µs", "delivered")
    rows = [
        ("10 readers", without.p50_us, without.p99_us, without.share),
        ("and one that never reads", beside.p50_us, beside.p99_us, beside.share),
    ]
    report.table("One run that never reads, 5,000 messages a second", columns, rows)
    change = beside.p99_us / without.p99_us - 1
    report.target("1d", "others' p99 changes by < 10 %", f"{change:+.0%}", is_met=abs(change) < 0.1 or change < 0)
