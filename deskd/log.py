"""How the desk writes its log: text for people, JSON lines for programs, fields for the systemd journal.

An event is a constant, all else is keys. Under systemd an entry is one of the journal's own: its priority is the
level, its fields are the keys (CONTRACTS 7), and its message is what a person reads.

Rule 1: a secret that is known never gets out, wherever it hides in an entry.
Rule 2: what others wrote (members, the broker) is shown escaped: it cannot move the cursor or fake a line.
"""

import json
import logging
import os
import re
import sys
import time
from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, TextIO

import msgspec
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from deskd.domain.shown import STEERING, one_line, printable
from deskd.journal import FIELD, Journal, is_journal
from deskd.secrets import Secrets

PRIORITIES = {"critical": 2, "error": 3, "warning": 4, "info": 6, "debug": 7}  # syslog's numbers
# The keys that everybody looks for have short names; any other key is DESK_ and its name.
FIELDS = {
    "event": "DESK_EVENT",
    "strategy_id": "DESK_STRATEGY",
    "user_id": "DESK_USER",
    "client_order_id": "DESK_ORDER",
    "symbol": "DESK_SYMBOL",
    "run_id": "DESK_RUN",
    "line": "DESK_LINE",
}
_READ_S = 0.1  # the journal looks up whose entry it is while its writer lives: `-u deskd` would not find the last words
_NO_FIELDS = frozenset({"timestamp", "level", "exception", "stack"})  # the journal's own, and what the message has

_SPECIAL = re.compile(rf"\\|{STEERING.pattern}")  # a backslash is JSON's own sign that a text holds something special
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Voice:
    """Where the program speaks, and what it never says."""

    secrets: Secrets = field(default_factory=Secrets)
    journal: Journal | None = None  # None: standard error


def journal_of(
    format: Literal["auto", "text", "json"],  # noqa: A002  the setting's own name
    environment: Mapping[str, str],
    stream: TextIO,
) -> Journal | None:
    """Return the journal, where the log is to go there: nobody asked for another form, and *stream* leads to it."""
    return Journal() if format == "auto" and is_journal(environment, stream) else None


def configure(
    *,
    level: Literal["debug", "info", "warning", "error"],
    format: Literal["auto", "text", "json"],  # noqa: A002  the setting's own name
    stream: TextIO | None = None,
    voice: Voice | None = None,
) -> None:
    """Set up structlog, and logging for libraries, to write to *stream* (stderr); later calls replace earlier ones.

    With a journal entries go there, and to *stream* only where it is gone.
    """
    stream, voice = stream or sys.stderr, voice or Voice()
    secrets, journal = voice.secrets, voice.journal
    is_text = format == "text" or (format == "auto" and stream.isatty())
    shared: list[Processor] = [structlog.processors.format_exc_info, masked(secrets), escaped]
    render: Processor = _text(stream) if is_text else _json
    stamped: list[Processor] = [structlog.processors.add_log_level, _stamp]
    processors: list[Processor] = [*stamped, *shared, render]
    if journal is not None:
        processors[-1] = _ToJournal(journal)
    elif not is_text:
        processors = [*stamped, _Json(secrets, [*shared, _json])]
    structlog.configure(
        processors=processors,
        logger_factory=structlog.WriteLoggerFactory(stream),
        cache_logger_on_first_use=False,  # a module's logger, made at import, follows this set-up
    )
    handler: logging.Handler = logging.StreamHandler(stream)
    if journal is not None:
        handler = _JournalHandler([_named, *stamped, *shared], _ToJournal(journal), stream)
    else:
        handler.setFormatter(
            structlog.stdlib.ProcessorFormatter(
                foreign_pre_chain=[_named, *stamped, *shared],
                processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, render],
            )
        )
    logging.getLogger().handlers[:] = [handler]
    set_level(level)


def set_level(level: Literal["debug", "info", "warning", "error"]) -> None:
    """Write from now on what is of *level*, or graver."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(level))
    root = logging.getLogger()
    root.setLevel(level.upper())
    for noisy in ("asyncio", "aiohttp.access", "websockets", "urllib3"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, root.level))


def tell_end(event: str, problems: Iterable[str], *, front: str, voice: Voice) -> None:
    """Say why the program cannot go on: an entry of the journal each, which `journalctl -p err` shows; else on stderr.

    What systemd reads from stderr has the priority of what is well, unless the line says another. `configure` comes
    first.
    """
    priority = f"<{PRIORITIES['error']}>" if is_journal(os.environ, sys.stderr) else ""
    for problem in problems:
        if voice.journal is None:
            sys.stderr.write(f"{priority}{front}{printable(voice.secrets.hide(problem))}\n")
        else:
            structlog.get_logger().error(event, why=problem)
    if voice.journal is not None:
        time.sleep(_READ_S)


class _ToJournal:
    """The last processor: sends the entry; what the journal does not take is returned as text for stderr."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._text = structlog.dev.ConsoleRenderer(
            colors=False, pad_event_to=0, exception_formatter=structlog.dev.plain_traceback
        )

    def __call__(self, logger: WrappedLogger, name: str, entry: EventDict) -> str:
        """Send it, or return it."""
        fields, text = self.fields(logger, name, entry)
        if self._journal.send(fields):
            raise structlog.DropEvent
        priority = PRIORITIES.get(str(entry.get("level")), PRIORITIES["info"])
        return f"<{priority}>{text}"  # as sd-daemon(3) has it: the journal that comes back reads that

    def fields(self, logger: WrappedLogger, name: str, entry: EventDict) -> tuple[list[tuple[str, str]], str]:
        """Return the entry's fields, and its message."""
        shown = {key: value for key, value in entry.items() if not key.startswith("_")}
        text = str(self._text(logger, name, {k: v for k, v in shown.items() if k not in {"timestamp", "level"}}))
        priority = PRIORITIES.get(str(entry.get("level")), PRIORITIES["info"])
        fields = [("MESSAGE", text.strip()), ("PRIORITY", str(priority)), ("SYSLOG_IDENTIFIER", "deskd")]
        for key, value in shown.items():
            field = FIELDS.get(key) or f"DESK_{key.upper()}"
            if value is not None and key not in _NO_FIELDS and FIELD.fullmatch(field):
                fields.append((field, value if isinstance(value, str) else _value(value)))
        return fields, text


class _JournalHandler(logging.Handler):
    """What libraries say, as entries of the journal."""

    def __init__(self, processors: Sequence[Processor], send: _ToJournal, stream: TextIO) -> None:
        super().__init__()
        self._processors = processors
        self._send = send
        self._stream = stream

    def emit(self, record: logging.LogRecord) -> None:
        """Send the record."""
        try:
            entry: Any = {"event": record.getMessage(), "_record": record}
            if record.exc_info:
                entry["exc_info"] = record.exc_info
            for processor in self._processors:
                entry = processor(None, record.levelname.lower(), entry)
            self._stream.write(self._send(None, record.levelname.lower(), entry) + "\n")
        except structlog.DropEvent:
            pass
        except Exception:  # noqa: BLE001  as every handler of the standard library
            self.handleError(record)


def _value(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else json.dumps(value, ensure_ascii=False, default=str)


class _Json:
    """Renders an entry that needs no care at once, and any other by *careful*: most lines need none."""

    def __init__(self, secrets: Secrets, careful: Sequence[Processor]) -> None:
        self._secrets = secrets
        self._careful = careful

    def __call__(self, logger: WrappedLogger, name: str, entry: EventDict) -> str:
        """Return the entry as one line of JSON."""
        if "exc_info" not in entry:
            try:
                line = _encode(_ordered(entry)).decode()
            except (TypeError, ValueError, RecursionError):  # a value that JSON has no form for
                line = "\\"
            if not _SPECIAL.search(line) and not self._secrets.pattern.search(line):
                return line
        careful: Any = entry
        for processor in self._careful:
            careful = processor(logger, name, careful)
        return str(careful)


def masked(secrets: Secrets) -> Processor:
    """Return a processor that hides every one of *secrets* in every value, at any depth."""
    return lambda _logger, _name, entry: _mapped(entry, secrets.hide)


def escaped(_logger: WrappedLogger, _name: str, entry: EventDict) -> EventDict:
    """Make every text in the entry safe to show; only a traceback keeps its lines."""
    trace = {key: printable(entry.pop(key)) for key in ("exception", "stack") if isinstance(entry.get(key), str)}
    return {**_mapped(entry, one_line), **trace}


def _mapped(entry: MutableMapping[str, object], change: Callable[[str], str]) -> EventDict:
    return {key: value if key.startswith("_") else _changed(value, change) for key, value in entry.items()}


def _changed(value: object, change: Callable[[str], str]) -> object:
    match value:
        case str():
            return change(value)
        case None | bool() | int() | float():
            return value
        case Mapping():
            return {str(key): _changed(item, change) for key, item in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_changed(item, change) for item in value]
        case _:
            return change(str(value))


def _named(_logger: WrappedLogger, _name: str, entry: EventDict) -> EventDict:
    """Put a library's own words under a key: our events are constants."""
    record = entry.get("_record")
    if isinstance(record, logging.LogRecord):
        return {**entry, "event": "library_spoke", "library": record.name, "text": entry.get("event")}
    return entry


def _stamp(_logger: WrappedLogger, _name: str, entry: EventDict) -> EventDict:
    entry["timestamp"] = datetime.now(UTC).isoformat().replace("+00:00", "Z")  # noqa: TID251  the log's own clock
    return entry


def _ordered(entry: EventDict) -> EventDict:
    """Put first what every line has, so that lines read well below each other."""
    return {key: entry[key] for key in ("timestamp", "level", "event") if key in entry} | dict(entry)


def _json(_logger: WrappedLogger, _name: str, entry: EventDict) -> str:
    return json.dumps(_ordered(entry), ensure_ascii=False, separators=(",", ":"), default=str)


def _text(stream: TextIO) -> Processor:
    colors = stream.isatty()
    return structlog.dev.ConsoleRenderer(
        colors=colors, pad_event_to=28, exception_formatter=structlog.dev.plain_traceback
    )
