"""The desk's log: readable or for programs, without secrets, and safe to look at."""

import io
import json
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from deskd.journal import Journal
from deskd.log import Voice, configure, journal_of, set_level, tell_end
from deskd.secrets import MASK, Secrets
from tests.a_journal import FakeJournal

SECRET = "s3cretkeyofthedesk"


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    yield
    root.handlers[:] = before
    root.setLevel(level)
    structlog.reset_defaults()


def written(stream: io.StringIO) -> dict[str, object]:
    entry = json.loads(stream.getvalue())
    assert isinstance(entry, dict)
    return entry


def test_an_entry_is_one_json_line_where_no_terminal_is() -> None:
    """Programs get the event, its keys, level and time; one line a fact."""
    stream = io.StringIO()
    configure(level="info", format="auto", stream=stream)
    structlog.get_logger().info("order_denied", reason="QUOTE_STALE", client_order_id="a-1")
    entry = written(stream)
    assert list(entry)[:3] == ["timestamp", "level", "event"]
    assert entry["event"] == "order_denied"
    assert entry["reason"] == "QUOTE_STALE"
    assert entry["level"] == "info"
    assert str(entry["timestamp"]).endswith("Z")
    assert stream.getvalue().count("\n") == 1


def test_text_is_readable_without_colours_where_no_terminal_is() -> None:
    """A person reads the event first, then the keys."""
    stream = io.StringIO()
    configure(level="info", format="text", stream=stream)
    structlog.get_logger().warning("stream_dropped", why="closed")
    assert "[warning  ] stream_dropped" in stream.getvalue()
    assert "why=closed" in stream.getvalue()
    assert "\x1b" not in stream.getvalue()


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_known_secret_never_gets_out(form: str) -> None:
    """Wherever a secret hides in an entry (text, list, exception, a library's line), it is masked."""
    stream = io.StringIO()
    configure(level="info", format=form, stream=stream, voice=Voice(Secrets([SECRET])))  # type: ignore[arg-type]
    log = structlog.get_logger()
    log.info("asked", url=f"https://x/?key={SECRET}", headers={"k": [SECRET]}, thing=OSError(SECRET))
    try:
        int(SECRET)  # its message quotes the text
    except ValueError:
        log.exception("crashed")
    logging.getLogger("aiohttp.client").error("sent %s", SECRET)
    assert SECRET not in stream.getvalue()
    assert stream.getvalue().count(MASK) >= 5


@pytest.mark.parametrize("form", ["text", "json"])
def test_foreign_text_cannot_fake_a_line_or_move_the_cursor(form: str) -> None:
    """What a member or the broker wrote is shown escaped."""
    stream = io.StringIO()
    configure(level="info", format=form, stream=stream)  # type: ignore[arg-type]
    structlog.get_logger().info("order_invalid", text="x\n2026 [error] faked\x1b[2J\u202e\ud800")
    assert stream.getvalue().count("\n") == 1
    assert not any(c in stream.getvalue() for c in "\x1b\u202e\ud800")


def test_what_is_below_the_level_is_not_written() -> None:
    """The level of the configuration bounds the log, libraries' included."""
    stream = io.StringIO()
    configure(level="warning", format="json", stream=stream)
    structlog.get_logger().info("order_denied")
    logging.getLogger("aiohttp.client").info("hello")
    assert not stream.getvalue()


def test_a_library_speaks_under_an_event_of_ours() -> None:
    """The event stays a constant; the library's own words are a key."""
    stream = io.StringIO()
    configure(level="info", format="json", stream=stream)
    logging.getLogger("aiohttp.server").error("bad %s", "thing")
    entry = written(stream)
    assert (entry["event"], entry["library"], entry["text"]) == ("library_spoke", "aiohttp.server", "bad thing")


def test_standard_error_is_the_default() -> None:
    """Standard output belongs to programs."""
    configure(level="info", format="json")
    (handler,) = logging.getLogger().handlers
    assert isinstance(handler, logging.StreamHandler)
    assert handler.stream is sys.stderr


def test_the_level_can_be_changed_while_the_desk_runs() -> None:
    """A reload makes it more talkative, or less; all else stays."""
    stream = io.StringIO()
    configure(level="warning", format="json", stream=stream)
    log = structlog.get_logger()
    log.info("unheard")
    set_level("info")
    log.info("heard")
    assert [json.loads(line)["event"] for line in stream.getvalue().splitlines()] == ["heard"]


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[tuple[Journal, FakeJournal]]:
    fake = FakeJournal(tmp_path)
    journal = Journal(fake.address)
    yield journal, fake
    journal.close()
    fake.close()


def test_an_entry_of_the_journal_has_its_fields(journal: tuple[Journal, FakeJournal]) -> None:
    """The keys that people look for have the names of CONTRACTS 7; the message reads well by itself."""
    stream = io.StringIO()
    configure(level="info", format="auto", stream=stream, voice=Voice(journal=journal[0]))
    structlog.get_logger().info(
        "order_denied",
        strategy_id="alice_momentum",
        user_id="alice",
        client_order_id="a-1",
        symbol="AAPL",
        run_id="alice_momentum.1",
        reason="QUOTE_STALE",
        affected=["x"],
        is_up=True,
        nothing=None,
    )
    (entry,) = journal[1].entries()
    assert entry.pop("MESSAGE").startswith("order_denied")
    assert entry == {
        "PRIORITY": "6",
        "SYSLOG_IDENTIFIER": "deskd",
        "DESK_EVENT": "order_denied",
        "DESK_STRATEGY": "alice_momentum",
        "DESK_USER": "alice",
        "DESK_ORDER": "a-1",
        "DESK_SYMBOL": "AAPL",
        "DESK_RUN": "alice_momentum.1",
        "DESK_REASON": "QUOTE_STALE",
        "DESK_AFFECTED": '["x"]',
        "DESK_IS_UP": "true",
    }
    assert stream.getvalue() == ""


@pytest.mark.parametrize(("level", "priority"), [("debug", "7"), ("info", "6"), ("warning", "4"), ("error", "3")])
def test_a_level_is_its_priority(journal: tuple[Journal, FakeJournal], level: str, priority: str) -> None:
    """`journalctl -p err` shows what an officer must act on, and nothing else."""
    configure(level="debug", format="auto", voice=Voice(journal=journal[0]))
    getattr(structlog.get_logger(), level)("x_happened")
    assert [entry["PRIORITY"] for entry in journal[1].entries()] == [priority]


def test_one_event_is_one_entry(journal: tuple[Journal, FakeJournal]) -> None:
    """Foreign text makes no line and no field; a traceback and a library's words are one entry, too."""
    configure(level="info", format="auto", voice=Voice(Secrets([SECRET]), journal[0]))
    log = structlog.get_logger()
    log.info("order_invalid", text="x\nDESK_USER=root\x1b[2J")
    try:
        int(SECRET)
    except ValueError:
        log.exception("crashed")
    logging.getLogger("aiohttp.client").error("sent %s", SECRET)
    try:
        int(SECRET)
    except ValueError:
        logging.getLogger("aiohttp.server").exception("broke")
    invalid, crashed, spoken, broke = journal[1].entries()
    assert "DESK_USER" not in invalid
    assert "\n" not in invalid["MESSAGE"]
    assert "\x1b" not in invalid["MESSAGE"]
    assert crashed["MESSAGE"].count("ValueError") == 1
    assert (spoken["DESK_EVENT"], spoken["DESK_LIBRARY"], spoken["PRIORITY"]) == (
        "library_spoke",
        "aiohttp.client",
        "3",
    )
    assert "Traceback" in broke["MESSAGE"]
    assert not any(SECRET in value for entry in (invalid, crashed, spoken, broke) for value in entry.values())


def test_a_journal_that_is_gone_leaves_the_entry_to_stderr(tmp_path: Path) -> None:
    """Nothing is lost; the priority stands before the line, as sd-daemon(3) has it."""
    stream = io.StringIO()
    journal = Journal(str(tmp_path / "none.sock"))
    configure(level="info", format="auto", stream=stream, voice=Voice(journal=journal))
    structlog.get_logger().warning("stream_dropped", why="closed")
    logging.getLogger("aiohttp.client").error("lost")
    journal.close()
    first, second = stream.getvalue().splitlines()
    assert first.startswith("<4>stream_dropped")
    assert second.startswith("<3>library_spoke")


def test_the_journal_is_used_where_the_log_leads_to_it(tmp_path: Path) -> None:
    """A form that was asked for is kept, and a stream that leads elsewhere, too."""
    with (tmp_path / "log").open("w") as file:
        at = os.fstat(file.fileno())
        ours = {"JOURNAL_STREAM": f"{at.st_dev}:{at.st_ino}"}
        assert journal_of("json", ours, file) is None
        assert journal_of("auto", {}, file) is None
        journal = journal_of("auto", ours, file)
        assert journal is not None
        journal.close()


def test_what_becomes_known_to_be_secret_is_hidden_from_then_on(journal: tuple[Journal, FakeJournal]) -> None:
    """Addresses of notifications are read long after the log began, and change with a reload."""
    secrets = Secrets()
    configure(level="info", format="auto", voice=Voice(secrets, journal[0]))
    secrets.know([SECRET])
    structlog.get_logger().info("asked", url=f"https://x/?key={SECRET}")
    (entry,) = journal[1].entries()
    assert SECRET not in str(entry)


def test_why_a_program_ends_is_an_error_of_the_journal(journal: tuple[Journal, FakeJournal]) -> None:
    """`journalctl -p err` shows all that is wrong, an entry each."""
    voice = Voice(Secrets([SECRET]), journal[0])
    configure(level="info", format="auto", voice=voice)
    tell_end("desk_ended", ["desk.toml:1:1: x", f"desk.toml:2:1: is {SECRET}"], front="deskd: ", voice=voice)
    found = [(entry["PRIORITY"], entry["DESK_EVENT"], entry["DESK_WHY"]) for entry in journal[1].entries()]
    assert found == [("3", "desk_ended", "desk.toml:1:1: x"), ("3", "desk_ended", f"desk.toml:2:1: is {MASK}")]


def test_why_a_program_ends_is_a_sentence_where_no_journal_is(capsys: pytest.CaptureFixture[str]) -> None:
    """For people, without a secret, and without what a terminal would obey."""
    tell_end("desk_ended", [f"is {SECRET}\x1b[2J"], front="deskd: ", voice=Voice(Secrets([SECRET])))
    assert capsys.readouterr().err == f"deskd: is {MASK}\\x1b[2J\n"
