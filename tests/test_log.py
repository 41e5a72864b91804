"""The desk's log: readable or for programs, without secrets, and safe to look at."""

import io
import json
import logging
import sys
from collections.abc import Iterator

import pytest
import structlog

from deskd.log import MASK, configure, set_level

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
    configure(level="info", format=form, stream=stream, secrets=[SECRET])  # type: ignore[arg-type]
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
