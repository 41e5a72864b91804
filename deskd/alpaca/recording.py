"""Fetches trades, quotes and bars of a span from Alpaca's market-data REST, and writes them as a tape (CONTRACTS 6).

By REST and not from the stream: a second connection would cost the running desk its own, and history has no gaps.

1. Figures are written as they came, digit for digit: no number is parsed on the way.
2. A file is there whole or not at all: it is written beside its name, and renamed when the last page is in it.
3. A request that failed on the way is sent again, a few times; what the broker refuses is told with its own words.
"""

import csv
import gzip
import http.client
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

from deskd.alpaca.endpoints import Keys
from deskd.domain.shown import one_line

COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {
    "trades": ("t", "S", "i", "x", "p", "s", "c", "z"),
    "quotes": ("t", "S", "bx", "bp", "bs", "ax", "ap", "as", "c", "z"),
    "bars": ("t", "S", "o", "h", "l", "c", "v", "n", "vw"),
}
PAGE_ROWS: Final = 10_000
TIMEOUT_S: Final = 30.0
TRIES_MAX: Final = 6
PAUSE_MAX_S: Final = 60.0  # of a 429's Retry-After
_ANSWER_MAX: Final = 64 * 1024 * 1024
_SAID_MAX: Final = 200

type Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What to fetch."""

    symbols: Sequence[str]
    kinds: Sequence[str]  # of COLUMNS
    since: datetime
    until: datetime
    feed: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """One file of the tape; without rows there is none."""

    path: Path
    kind: str
    rows: int
    symbols: tuple[str, ...]  # that it has rows of


@dataclass(slots=True, kw_only=True)
class Recorder:
    """One broker's market-data REST, asked page by page."""

    url: str
    keys: Keys
    pause: Callable[[float], None] = time.sleep
    _connection: http.client.HTTPConnection | None = None

    def record(self, wanted: Wanted, folder: Path) -> Iterator[Written]:
        """Write each kind into *folder*, and yield each file when it is whole; raise OSError where the broker does not give it."""
        folder.mkdir(parents=True, exist_ok=True)
        try:
            for kind in wanted.kinds:
                yield self._write(kind, wanted, path_of(folder, kind))
        finally:
            self._hang_up()

    def _write(self, kind: str, wanted: Wanted, path: Path) -> Written:
        part, columns = path.with_name(f".{path.name}.part"), COLUMNS[kind]
        rows, found = 0, set[str]()
        try:
            with gzip.open(part, "wt", newline="", encoding="utf-8", compresslevel=6) as file:
                writer = csv.writer(file)
                writer.writerow(columns)
                for symbol, row in self._rows(kind, wanted):
                    writer.writerow([_cell(symbol if name == "S" else row.get(name)) for name in columns])
                    rows += 1
                    found.add(symbol)
            if rows:
                part.replace(path)
        finally:
            part.unlink(missing_ok=True)
        return Written(path=path, kind=kind, rows=rows, symbols=tuple(sorted(found)))

    def _rows(self, kind: str, wanted: Wanted) -> Iterator[tuple[str, Row]]:
        query = {
            "symbols": ",".join(wanted.symbols),
            "start": _rfc3339(wanted.since),
            "end": _rfc3339(wanted.until),
            "limit": str(PAGE_ROWS),
            "feed": wanted.feed,
            "sort": "asc",
        }
        if kind == "bars":
            query["timeframe"] = "1Min"
        while True:
            page = self._page(f"/v2/stocks/{kind}?{urlencode(query)}")
            by_symbol = page.get(kind)
            for symbol, rows in (by_symbol if isinstance(by_symbol, dict) else {}).items():
                yield from ((symbol, row) for row in rows or ())
            token = page.get("next_page_token")
            if not token:
                return
            query["page_token"] = str(token)

    def _page(self, target: str) -> Mapping[str, Any]:
        for tried in range(1, TRIES_MAX + 1):
            is_last = tried == TRIES_MAX
            try:
                status, body, retry_after = self._ask(target)
            except (OSError, http.client.HTTPException) as error:
                self._hang_up()
                if is_last:
                    raise OSError(f"{self.url} does not answer: {error}") from error
                self.pause(_again_after(tried, None))
                continue
            if status == 200:
                return _page_of(body)
            if is_last or (status != 429 and status < 500):
                raise OSError(self._refusal(status, body))
            self.pause(_again_after(tried, retry_after))
        raise AssertionError("the last try returns or raises")

    def _ask(self, target: str) -> tuple[int, bytes, str | None]:
        parts = urlsplit(self.url)
        if self._connection is None:
            assert parts.hostname, "addresses are checked before"
            kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
            self._connection = kind(parts.hostname, parts.port, timeout=TIMEOUT_S)
        headers = {"APCA-API-KEY-ID": self.keys.key_id, "APCA-API-SECRET-KEY": self.keys.secret}
        self._connection.request("GET", f"{parts.path.rstrip('/')}{target}", headers=headers)
        answer = self._connection.getresponse()
        body = answer.read(_ANSWER_MAX)
        return answer.status, body, answer.headers.get("Retry-After")

    def _refusal(self, status: int, body: bytes) -> str:
        said = one_line(self.keys.hidden_in(body[:_SAID_MAX].decode("utf-8", "replace")))
        remedy = {
            401: "look at the keys (deskctl doctor)",
            403: "look at keys and data plan (deskctl doctor); the free plan gives sip after 15 minutes, and iex",
            429: "others use up the requests: try again later",
        }.get(status, "correct symbols, day and times" if status < 500 else "try again later")
        return f"{self.url} answered HTTP {status}: {said}; {remedy}"

    def _hang_up(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def path_of(folder: Path, kind: str) -> Path:
    """Return where the rows of that kind go."""
    return folder / f"{kind}.csv.gz"


def _page_of(body: bytes) -> Mapping[str, Any]:
    try:
        page = json.loads(body, parse_float=str, parse_int=str)
    except (ValueError, RecursionError) as error:
        raise OSError(f"the answer is no JSON ({error}): is there a proxy between?") from None
    if not isinstance(page, dict):
        raise OSError("the answer is not Alpaca's: is there a proxy between?")
    return page


def _again_after(tried: int, retry_after: str | None) -> float:
    if retry_after is not None and retry_after.isdecimal():
        return min(float(retry_after), PAUSE_MAX_S)
    return float(min(2**tried, PAUSE_MAX_S))


def _cell(value: object) -> str:
    """Return the value as tapes have it: conditions with a bar between."""
    if isinstance(value, list):
        return "|".join(str(one) for one in value)
    return "" if value is None else str(value)


def _rfc3339(at: datetime) -> str:
    assert at.tzinfo is not None, "instants are aware"
    return at.isoformat().replace("+00:00", "Z")
