"""Market data on Alpaca's wire: stamps, websocket frames (msgpack, JSON) and REST rows, both ways.

Inside, one message is the dict of Alpaca's own letters (T, S, p, s, ...), its stamp `t` an int of nanoseconds since
1970. On the wire the stamp is a msgpack timestamp (extension -1) or an RFC 3339 text; everything else goes as it is.
"""

import base64
import binascii
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Any, Literal
from zoneinfo import ZoneInfo

import msgpack
import msgspec

from deskd.domain.errors import WireError

type Message = dict[str, Any]
type Codec = Literal["msgpack", "json"]

CODECS: tuple[Codec, ...] = ("msgpack", "json")
SECOND = 1_000_000_000
NEW_YORK = ZoneInfo("America/New_York")

CHANNELS = (
    "trades",
    "quotes",
    "bars",
    "updatedBars",
    "dailyBars",
    "statuses",
    "lulds",
    "corrections",
    "cancelErrors",
    "imbalances",
)
CHANNEL_OF = {
    "t": "trades",
    "q": "quotes",
    "b": "bars",
    "u": "updatedBars",
    "d": "dailyBars",
    "s": "statuses",
    "l": "lulds",
    "c": "corrections",
    "x": "cancelErrors",
    "i": "imbalances",
}
CONTROL_MAX_BYTES = 1_048_576  # 60,000 symbols in one subscription; more is not a client of ours

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST = -2_208_988_800 * SECOND  # 1900-01-01
_LAST = 7_258_118_400 * SECOND  # 2200-01-01
_RFC3339 = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?([Zz]|[+-]\d\d:?\d\d)")
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_json = msgspec.json.Encoder()
_msgpack = msgspec.msgpack.Encoder()


# -- stamps


def to_ns(at: datetime) -> int:
    """Return an aware instant as nanoseconds since 1970, exactly."""
    delta = at - _EPOCH
    return (delta.days * 86_400 + delta.seconds) * SECOND + delta.microseconds * 1_000


def to_datetime(ns: int) -> datetime:
    """Return the instant, aware UTC; what lies below a microsecond is cut."""
    return _EPOCH + timedelta(microseconds=ns // 1_000)


def rfc3339(ns: int) -> str:
    """Return the instant as Alpaca writes it: UTC, nanoseconds with trailing zeros trimmed."""
    seconds, fraction = divmod(ns, SECOND)
    text = _to_the_second(seconds)
    return f"{text}.{fraction:09d}".rstrip("0") + "Z" if fraction else text + "Z"


@lru_cache(maxsize=4_096)  # messages of one frame share their second
def _to_the_second(seconds: int) -> str:
    return (_EPOCH + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S")


def parse_stamp(text: str) -> int:
    """Return the instant of an RFC 3339 text (0 to 9 fractional digits, Z or an offset) or of a New York date."""
    if match := _RFC3339.fullmatch(text):
        day, clock, fraction, zone = match.groups()
        try:
            at = datetime.fromisoformat(f"{day}T{clock}{'+00:00' if zone in 'Zz' else zone}")
        except ValueError as error:
            raise WireError(f"{text!r} is not an instant: {error}") from None
        return _within_time(to_ns(at), text) + int((fraction or "").ljust(9, "0"))
    if _DATE.fullmatch(text):
        try:
            return _within_time(to_ns(datetime.combine(date.fromisoformat(text), datetime.min.time(), NEW_YORK)), text)
        except ValueError as error:
            raise WireError(f"{text!r} is not a date: {error}") from None
    raise WireError(f"{text!r} is not a date or an RFC 3339 instant, like 2026-11-20T14:30:00Z")


def _within_time(ns: int, text: str) -> int:
    """Keep clear of the ends of what a datetime can say: an offset may push an instant over them."""
    if not _FIRST <= ns < _LAST:
        raise WireError(f"{text!r} lies outside of the years 1900 to 2199")
    return ns


# -- websocket: what a client says


def decode_control(data: str | bytes, codec: Codec) -> Message:
    """Return the client's control message, or raise WireError. Either codec may come as text or bytes."""
    if len(data) > CONTROL_MAX_BYTES:
        raise WireError(f"control message of {len(data)} bytes; at most {CONTROL_MAX_BYTES} are read")
    try:
        raw = data.encode() if isinstance(data, str) else data
        is_json = codec == "json" or isinstance(data, str)
        value = msgspec.json.decode(raw) if is_json else msgspec.msgpack.decode(raw)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise WireError(f"control message is not {codec}: {error}") from None
    if not isinstance(value, dict) or not isinstance(value.get("action"), str):
        raise WireError("control message must be an object with an `action` text")
    return value


def subscription_change(message: Message) -> dict[str, set[str]]:
    """Return the symbols by channel that a subscribe or unsubscribe names, or raise WireError."""
    change: dict[str, set[str]] = {}
    for channel, symbols in message.items():
        if channel == "action":
            continue
        if channel not in CHANNELS:
            raise WireError(f"no channel {channel!r}; there are {', '.join(CHANNELS)}")
        if not isinstance(symbols, list) or not all(isinstance(symbol, str) and symbol for symbol in symbols):
            raise WireError(f"{channel} must be a list of symbols")
        change[channel] = set(symbols)
    return change


# -- websocket: what the server says


def success(text: str) -> Message:
    """Return the control message `connected` or `authenticated`."""
    return {"T": "success", "msg": text}


def error(code: int, text: str) -> Message:
    """Return an error message of the stream."""
    return {"T": "error", "code": code, "msg": text}


def subscription(held: Mapping[str, Iterable[str]]) -> Message:
    """Return the acknowledgement: always the full set of every channel, sorted."""
    ack: Message = {"T": "subscription"}
    for channel in CHANNELS:
        symbols = sorted(held.get(channel, ()))
        if symbols or channel != "imbalances":  # the one channel that only shows when it is held
            ack[channel] = symbols
    return ack


def encode_message(message: Message, codec: Codec) -> bytes:
    """Return one message as it lies inside a frame."""
    if codec == "json":
        ns = message.get("t")
        return _json.encode(message if ns is None else {**message, "t": rfc3339(ns)})
    ns = message.get("t")
    return _msgpack.encode(message if ns is None else {**message, "t": _timestamp(ns)})


def frame(encoded: list[bytes], codec: Codec) -> bytes:
    """Return a frame: an array of encoded messages."""
    if codec == "json":
        return b"[" + b",".join(encoded) + b"]"
    count = len(encoded)
    if count < 16:
        head = bytes((0x90 | count,))
    elif count < 65_536:
        head = b"\xdc" + count.to_bytes(2, "big")
    else:
        head = b"\xdd" + count.to_bytes(4, "big")
    return head + b"".join(encoded)


def decode_frame(data: str | bytes, codec: Codec) -> list[Message]:
    """Return the messages of a frame, stamps as nanoseconds. The inverse of `frame`, for clients and tests."""
    try:
        if codec == "json":
            messages = msgspec.json.decode(data)
        else:
            assert isinstance(data, bytes), "msgpack comes in binary frames"
            messages = msgpack.unpackb(data)
        for message in messages:
            if "t" in message:
                stamp = message["t"]
                message["t"] = parse_stamp(stamp) if isinstance(stamp, str) else stamp.to_unix_nano()
    except (ValueError, TypeError, AttributeError, msgspec.DecodeError) as problem:
        raise WireError(f"not a frame of market data: {problem}") from None
    return list(messages)


def _timestamp(ns: int) -> msgspec.msgpack.Ext:
    seconds, nanoseconds = divmod(ns, SECOND)
    if 0 <= seconds < 1 << 34:
        return msgspec.msgpack.Ext(-1, (nanoseconds << 34 | seconds).to_bytes(8, "big"))
    return msgspec.msgpack.Ext(-1, nanoseconds.to_bytes(4, "big") + seconds.to_bytes(8, "big", signed=True))


# -- REST


def rest_row(message: Mapping[str, Any]) -> Message:
    """Return a message as a row of a REST reply: without type and symbol, its stamp as text."""
    row = {key: value for key, value in message.items() if key not in {"T", "S"}}
    row["t"] = rfc3339(row["t"])
    return row


def encode_json(value: object) -> bytes:
    """Return a REST body."""
    return _json.encode(value)


def page_token(symbol: str, ns: int, skip: int) -> str:
    """Return the token of the page that starts after *skip* rows of *symbol* at that instant."""
    return base64.b64encode(f"{symbol}|{rfc3339(ns)}|{skip}".encode()).decode()


def parse_page_token(token: str) -> tuple[str, int, int]:
    """Return symbol, instant and rows to skip of a page token, or raise WireError."""
    try:
        symbol, stamp, skip = base64.b64decode(token, validate=True).decode().split("|")
        return symbol, parse_stamp(stamp), abs(int(skip))
    except (ValueError, binascii.Error, WireError):
        raise WireError("page_token is not one of ours: pass next_page_token of the last page, unchanged") from None
