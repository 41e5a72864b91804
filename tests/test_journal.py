"""Entries reach the journal whole, and nobody waits for it."""

import fcntl
import io
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from deskd.journal import FIELD, Journal, encode, is_journal
from tests.a_journal import FakeJournal, decoded


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[FakeJournal]:
    fake = FakeJournal(tmp_path)
    yield fake
    fake.close()


def test_every_value_arrives_as_it_was() -> None:
    """With `=`, with line ends, empty, and in every script; halves of characters as escapes."""
    fields = [("MESSAGE", "a=b"), ("DESK_A", "one\ntwo\n"), ("DESK_B", ""), ("DESK_C", "größer 株"), ("DESK_D", "\n")]
    assert decoded(encode(fields)) == fields
    assert decoded(encode([("DESK_E", "\ud800")])) == [("DESK_E", "\\ud800")]


def test_a_value_cannot_make_a_field() -> None:
    """What a member writes stays a value, whatever it looks like."""
    assert decoded(encode([("MESSAGE", "x\n_UID=0\nDESK_USER=root")])) == [("MESSAGE", "x\n_UID=0\nDESK_USER=root")]


def test_an_entry_arrives(fake: FakeJournal) -> None:
    """One datagram an entry."""
    journal = Journal(fake.address)
    assert journal.send([("MESSAGE", "hello")])
    journal.close()
    assert fake.read() == [[("MESSAGE", "hello")]]


def test_a_large_entry_arrives_in_sealed_memory(fake: FakeJournal) -> None:
    """A traceback or a long list is over what a datagram carries: journald takes it as a sealed memfd."""
    journal = Journal(fake.address)
    text = "x" * 1_000_000
    assert journal.send([("MESSAGE", text)])
    journal.close()
    with socket.socket(fileno=os.dup(fake._socket.fileno())) as reading:
        _, pages, _, _ = socket.recv_fds(reading, 10, 1)
    seals = fcntl.fcntl(pages[0], fcntl.F_GET_SEALS)
    assert seals & fcntl.F_SEAL_WRITE
    assert seals & fcntl.F_SEAL_SHRINK
    assert decoded(os.pread(pages[0], 2_000_000, 0)) == [("MESSAGE", text)]
    os.close(pages[0])


def test_nobody_waits_for_a_busy_journal(fake: FakeJournal) -> None:
    """What it does not take at once is lost; the next entry tells how much."""
    journal = Journal(fake.address)
    sent = 0
    while not journal.lost:
        assert journal.send([("MESSAGE", str(sent))])
        sent += 1
        assert sent < 100_000
    assert journal.send([("MESSAGE", "lost, too")])
    fake.read()
    assert journal.send([("MESSAGE", "after")])
    journal.close()
    told, after = fake.entries()
    assert told["DESK_EVENT"] == "journal_entries_lost"
    assert (told["DESK_COUNT"], told["PRIORITY"]) == ("2", "4")
    assert after == {"MESSAGE": "after"}
    assert (journal.lost, journal.lost_ever) == (0, 2), "metrics count on"


def test_a_journal_that_is_gone_is_said_and_found_again(tmp_path: Path) -> None:
    """The entry is to go to stderr; a journal that was started anew gets the next one."""
    journal = Journal(str(tmp_path / "journal.sock"))
    assert not journal.send([("MESSAGE", "nobody")])
    fake = FakeJournal(tmp_path)
    assert journal.send([("MESSAGE", "here")])
    assert fake.read() == [[("MESSAGE", "here")]]
    fake.close()
    assert not journal.send([("MESSAGE", "gone")])
    journal.close()


def test_only_a_stream_that_is_the_journals_counts(tmp_path: Path) -> None:
    """`deskd run >file` under a shell that systemd started is a file, whatever the environment says."""
    with (tmp_path / "log").open("w") as file:
        at = os.fstat(file.fileno())
        assert is_journal({"JOURNAL_STREAM": f"{at.st_dev}:{at.st_ino}"}, file)
        assert not is_journal({"JOURNAL_STREAM": f"{at.st_dev}:{at.st_ino + 1}"}, file)
        assert not is_journal({}, file)
    assert not is_journal({"JOURNAL_STREAM": "1:2"}, io.StringIO())


@pytest.mark.parametrize("name", ["_UID", "desk", "1A", "A" * 65, "A-B", ""])
def test_a_name_that_the_journal_refuses_is_no_field(name: str) -> None:
    """Journald drops fields whose names begin with `_`: they are its own."""
    assert not FIELD.fullmatch(name)
