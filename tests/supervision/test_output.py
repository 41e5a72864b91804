"""What a run prints is kept, in bounds that a flood cannot break."""

import asyncio
import os
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from deskd.supervision.output import LINE_MAX, Output, RotatingLog, is_jail_noise, pump
from tests.small_disk import small_disk

__all__ = ["small_disk"]


class StillClock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> datetime:
        return datetime(2026, 1, 5, 17, 0, 0, 123_456, tzinfo=UTC)

    def monotonic(self) -> float:
        return self.seconds


def an_output(path: Path, clock: StillClock, bytes_per_s: int = 10_000, kept: int = 10**6) -> Output:
    log = RotatingLog(path, kept)
    return Output(log=log, clock=clock, bytes_per_s=bytes_per_s, flood_s=30.0, is_noise=is_jail_noise)


def test_each_line_has_its_time_and_stream(tmp_path: Path) -> None:
    """Lines are stored as they came, behind their time; nothing is escaped yet."""
    output = an_output(tmp_path / "a.log", StillClock())
    output.take("out", b"one\ntw")
    output.take("err", b"bad \x1b[31m\xff\n")
    output.take("out", b"o\nthree")
    output.finish()
    assert (tmp_path / "a.log").read_bytes().splitlines() == [
        b"2026-01-05T17:00:00.123Z out one",
        b"2026-01-05T17:00:00.123Z err bad \x1b[31m\xff",
        b"2026-01-05T17:00:00.123Z out two",
        b"2026-01-05T17:00:00.123Z out three",
    ]
    assert list(output.recent_errors) == ["bad \x1b[31m\ufffd"]


def test_a_flood_is_dropped_and_counted(tmp_path: Path) -> None:
    """Over log_bytes_per_s lines are dropped; one line says how much; later lines are kept again."""
    clock = StillClock()
    output = an_output(tmp_path / "a.log", clock, bytes_per_s=1_000)
    assert not output.take("out", b"x" * 99 + b"\n")
    assert output.take("out", (b"x" * 99 + b"\n") * 1_000)
    clock.seconds = 10.0
    output.take("out", b"after\n")
    output.finish()
    lines = (tmp_path / "a.log").read_text().splitlines()
    assert len(lines) == 15 + 3  # each line costs its time, too
    assert lines[-3].endswith(" desk it prints more than [sandbox] log_bytes_per_s=1000: what is over that is dropped")
    assert lines[-2].endswith(" desk 98600 bytes of prints were dropped: [sandbox] log_bytes_per_s=1000; print less")
    assert lines[-1].endswith(" out after")
    assert output.dropped_bytes == 98_600
    assert output.flood is None


def test_a_flood_that_does_not_end_is_told_with_figures(tmp_path: Path) -> None:
    """First it is held back, and the log says so each second; only after flood_s without a pause is it a flood."""
    clock = StillClock()
    output = an_output(tmp_path / "a.log", clock, bytes_per_s=1_000)
    for _ in range(3_000):  # 150 s
        if 100.0 <= clock.seconds < 103.0:
            output.take("out", b"slow\n")  # a pause: it counts anew
        elif clock.seconds < 25.0 or clock.seconds >= 100.0:
            output.take("out", b"y" * 70 + b"\n" * 1_000)
        clock.seconds += 0.05
        if output.flood is not None:
            break
    assert 133.0 <= clock.seconds < 133.2
    assert output.flood == (
        "it printed 0.6 MB in 30 s without a pause, and was held back by [sandbox] log_bytes_per_s=1000; "
        "0.6 MB were dropped: print less"
    )
    output.finish()
    lines = (tmp_path / "a.log").read_text().splitlines()
    told = [line for line in lines if " bytes of prints were dropped" in line]
    assert 40 <= len(told) <= 60
    assert sum(int(line.split()[2]) for line in told) == output.dropped_bytes
    assert sum(" it prints more than " in line for line in lines) == 2


def test_empty_lines_are_a_flood_too(tmp_path: Path) -> None:
    """Their time takes room in the log: a chunk of line ends costs the desk no more than its bound."""
    output = an_output(tmp_path / "a.log", StillClock(), bytes_per_s=1_000)
    assert output.take("out", b"\n" * 16_384)
    output.finish()
    assert (tmp_path / "a.log").stat().st_size < 2_500


def test_the_loaders_remark_printed_by_a_member_is_counted(tmp_path: Path) -> None:
    """Lines that look like our tools' are passed over some times, and are then a member's as all others."""
    noise = b"/v/nsjail: /lib/libnl-3.so.200: no version information available (required by /v/nsjail)\n"
    output = an_output(tmp_path / "a.log", StillClock(), bytes_per_s=1_000)
    assert output.take("err", noise * 100)
    assert output.dropped_bytes > 0


def test_an_endless_line_is_cut(tmp_path: Path) -> None:
    """A line without an end is never held in memory whole."""
    output = an_output(tmp_path / "a.log", StillClock(), bytes_per_s=10**6)
    for _ in range(10):
        output.take("out", b"x" * 5_000)
        assert sum(len(part) for part in output._partial.values()) <= LINE_MAX
    output.finish()
    assert sum(line.count("x") for line in (tmp_path / "a.log").read_text().splitlines()) == 50_000


@given(st.lists(st.binary(max_size=40), max_size=40))
def test_however_it_is_cut_into_chunks_the_lines_are_the_same(chunks: list[bytes]) -> None:
    """What comes out depends on what was printed, not on how the pipe cut it."""
    whole, cut = Memory(), Memory()
    for log, parts in ((whole, [b"".join(chunks)]), (cut, chunks)):
        output = Output(log=log, clock=StillClock(), bytes_per_s=10**6, flood_s=30.0, is_noise=is_jail_noise)
        for part in parts:
            output.take("out", part)
        output.finish()
    assert whole.data == cut.data


class Memory(RotatingLog):
    """Keeps the log in memory."""

    def __init__(self) -> None:
        super().__init__(Path("/nonexistent"), 10**9)
        self.data = b""

    def write(self, data: bytes) -> None:
        self.data += data


def test_three_files_are_kept(tmp_path: Path) -> None:
    """The log never takes more than its bound, and the newest is always under its own name."""
    log = RotatingLog(tmp_path / "logs" / "a.log", 300)
    for number in range(60):
        log.write(b"%03d %s\n" % (number, b"x" * 15))
    log.close()
    files = sorted((tmp_path / "logs").iterdir())
    assert [path.name for path in files] == ["a.log", "a.log.1", "a.log.2"]
    assert sum(path.stat().st_size for path in files) <= 300
    assert files[0].read_text().splitlines()[-1].startswith("059")
    assert (tmp_path / "logs" / "a.log").stat().st_mode & 0o777 == 0o640


def test_a_log_goes_on_where_it_ended(tmp_path: Path) -> None:
    """A restart appends; it neither overwrites nor exceeds."""
    for text in (b"first\n", b"second\n"):
        log = RotatingLog(tmp_path / "a.log", 10_000)
        log.write(text)
        log.close()
    assert (tmp_path / "a.log").read_bytes() == b"first\nsecond\n"


def test_the_loaders_remark_is_not_the_members(tmp_path: Path) -> None:
    """Two lines that ld.so prints at every start are not shown to a student."""
    noise = b"/v/nsjail: /lib/libnl-3.so.200: no version information available (required by /v/nsjail)\n"
    output = an_output(tmp_path / "a.log", StillClock())
    output.take("err", noise + b"mine\n")
    output.finish()
    assert (tmp_path / "a.log").read_text().splitlines() == ["2026-01-05T17:00:00.123Z err mine"]


async def test_a_flooding_pipe_leaves_the_loop_to_others(tmp_path: Path) -> None:
    """Whoever prints without end is read some times a second, and blocks in its own print."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    reads = 0

    def take(_: str, chunk: bytes) -> bool:
        nonlocal reads
        reads += 1
        return True

    async with asyncio.TaskGroup() as tasks:
        pumping = tasks.create_task(pump(reading, "out", take))
        loop = asyncio.get_running_loop()
        until = loop.time() + 0.2
        while loop.time() < until:
            try:
                os.write(writing, bytes(65_536))
            except BlockingIOError:
                await asyncio.sleep(0.001)
        os.close(writing)
        await pumping
    os.close(reading)
    assert reads < 10


def test_a_full_disk_costs_prints_and_no_run(small_disk: Path) -> None:
    """What finds no room is dropped and counted; with room again the next lines are kept."""
    filler = small_disk / "filler"
    output = an_output(small_disk / "a.log", StillClock(), bytes_per_s=10**6)
    output.take("out", b"before\n")
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(65_536)) == 65_536:
            pass
    for _ in range(100):
        output.take("out", b"x" * 1_000 + b"\n")
    assert output.dropped_bytes > 50_000
    filler.unlink()
    output.take("out", b"after\n")
    output.close("the end")
    lines = (small_disk / "a.log").read_text().splitlines()
    assert lines[0].endswith("out before")
    assert lines[-2].endswith("out after")
    assert lines[-1].endswith("desk the end")
