"""What strategies print is in the journal under their names, and floods nobody."""

from pathlib import Path

import pytest

from deskd.domain.ids import RunId
from deskd.secrets import hiding
from deskd.supervision.output import Output, RotatingLog, is_jail_noise
from deskd.supervision.prints import ALL_PER_S, BURST_S, CHARS_MAX, LINES_PER_S, TELL_EVERY_S, Prints
from tests.control.a_running_desk import a_spec
from tests.factories import ALICE, BOB
from tests.supervision.test_output import StillClock

SECRET = "s3cretkeyofthedesk"
RUN = RunId("alice.1")


class Printing:
    """Runs that print, and what of it reached the journal."""

    def __init__(self) -> None:
        self.clock = StillClock()
        self._sent: list[dict[str, str]] = []
        self.prints = Prints(lambda fields: self._sent.append(dict(fields)), self.clock, hiding([SECRET]))

    def entries(self) -> list[dict[str, str]]:
        """Return what came since this was last asked."""
        sent, self._sent = self._sent, []
        return sent


@pytest.fixture
def printing() -> Printing:
    return Printing()


def test_a_line_is_found_under_its_strategy_member_and_run(printing: Printing) -> None:
    """`journalctl DESK_STRATEGY=alice` shows what it printed, on which stream."""
    printing.prints.of(a_spec(ALICE), RUN)("err", [b"hello"])
    assert printing.entries() == [
        {
            "MESSAGE": "hello",
            "PRIORITY": "6",
            "SYSLOG_IDENTIFIER": "alice",
            "DESK_EVENT": "strategy_printed",
            "DESK_STRATEGY": "alice",
            "DESK_USER": "alice",
            "DESK_RUN": "alice.1",
            "DESK_STREAM": "err",
        }
    ]


def test_a_print_steers_nothing_and_fakes_nothing(printing: Printing) -> None:
    """Control characters are escaped, bytes that are no text replaced, long lines cut, and no secret gets out."""
    take = printing.prints.of(a_spec(ALICE), RUN)
    take("out", [b"\x1b[2J\rDESK_USER=root\xff", SECRET.encode(), b"x" * 9_000])
    shown = [entry["MESSAGE"] for entry in printing.entries()]
    assert shown[:2] == ["\\x1b[2J\\rDESK_USER=root\ufffd", "***"]
    assert len(shown[2]) == CHARS_MAX + 1


def test_a_flood_of_one_leaves_room_for_others(printing: Printing) -> None:
    """A run has a burst and a rate; what is missing is told now and then, with where to find it."""
    alice = printing.prints.of(a_spec(ALICE), RUN)
    bob = printing.prints.of(a_spec(BOB), RunId("bob.1"))
    own = int(LINES_PER_S * BURST_S)
    for number in range(own * 3):
        alice("out", [str(number).encode()])
        if number % 20 == 0:
            bob("out", [b"bob"])
    told = printing.entries()
    mine = [entry for entry in told if entry["DESK_STRATEGY"] == "alice"]
    assert sum(entry["DESK_EVENT"] == "strategy_printed" for entry in mine) <= own
    assert sum(entry["DESK_STRATEGY"] == "bob" for entry in told) >= 1


def test_what_is_missing_is_told_now_and_then(printing: Printing) -> None:
    """Once at first, then every ten seconds while it goes on."""
    take = printing.prints.of(a_spec(ALICE), RUN)
    own = int(LINES_PER_S * BURST_S)
    missing = []
    for _ in range(3):
        for start in range(0, own * 2, 10):
            take("out", [b"x"] * 10)
            missing += [e for e in printing.entries() if e["DESK_EVENT"] != "strategy_printed"]
            assert start < own * 2
        printing.clock.seconds += TELL_EVERY_S
    assert [entry["DESK_COUNT"] for entry in missing] == ["10", "90", "100"]
    assert missing[0]["MESSAGE"].endswith("deskctl logs alice")
    assert missing[0]["PRIORITY"] == "5"


def test_all_together_stay_under_what_the_journal_takes_of_a_unit(printing: Printing) -> None:
    """Journald drops a unit's entries beyond 10,000 in 30 seconds, the desk's own among them."""
    count = 0
    takes = [printing.prints.of(a_spec(ALICE), RunId(f"r{n}")) for n in range(60)]
    for _ in range(30):
        for take in takes:
            take("out", [b"x"] * 40)
            count += sum(entry["DESK_EVENT"] == "strategy_printed" for entry in printing.entries())
        printing.clock.seconds += 1
    assert count <= ALL_PER_S * (30 + BURST_S) < 6_000


def test_only_what_the_log_keeps_goes_on(printing: Printing, tmp_path: Path) -> None:
    """A flood that the log drops does not reach the journal by another door, nor does our own tools' noise."""
    output = Output(
        log=RotatingLog(tmp_path / "a.log", 10**6),
        clock=printing.clock,
        bytes_per_s=1_000,
        flood_s=30.0,
        is_noise=is_jail_noise,
    )
    output.on_lines = printing.prints.of(a_spec(ALICE), RUN)
    output.note("run starts")
    output.take("out", b"one\ntwo\n")
    output.take("out", (b"y" * 99 + b"\n") * 160)
    output.take("out", b"rest")
    output.finish()
    shown = [entry["MESSAGE"] for entry in printing.entries() if entry["DESK_EVENT"] == "strategy_printed"]
    kept = [
        line.split(b" ", 2)[2].decode() for line in (tmp_path / "a.log").read_bytes().splitlines() if b" out " in line
    ]
    assert shown == kept
    assert shown[:2] == ["one", "two"]
