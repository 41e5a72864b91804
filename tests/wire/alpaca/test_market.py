"""Guarantees of the market-data codec: what is written is read again, in the words of Alpaca's own examples."""

import json
from datetime import UTC, datetime
from typing import Any

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deskd.domain.errors import WireError
from deskd.wire.alpaca import market as wire
from deskd.wire.alpaca.market import Codec, Message
from tests.venue.markets import recorded

INSTANTS = st.integers(min_value=0, max_value=4_102_444_800 * wire.SECOND)
CODECS = st.sampled_from(wire.CODECS)
MESSAGES = st.fixed_dictionaries(
    {
        "T": st.sampled_from(sorted(wire.CHANNEL_OF)),
        "S": st.text("ABCXYZ.", min_size=1, max_size=6),
        "p": st.floats(0.0001, 1e6, allow_nan=False),
        "s": st.integers(0, 10**9),
        "c": st.lists(st.sampled_from(["@", "I", " ", "T"]), max_size=4),
        "t": INSTANTS,
    }
)


@settings(deadline=None)  # a busy machine is no failure
@given(messages=st.lists(MESSAGES, max_size=40), codec=CODECS)
def test_a_frame_that_was_written_is_read_again(messages: list[Message], codec: Codec) -> None:
    """Whatever the messages, in both codecs, to the nanosecond."""
    data = wire.frame([wire.encode_message(message, codec) for message in messages], codec)
    assert wire.decode_frame(data, codec) == messages


@settings(deadline=None)  # a busy machine is no failure
@given(ns=INSTANTS)
def test_an_instant_that_was_written_is_read_again(ns: int) -> None:
    """RFC 3339 keeps nanoseconds; a datetime keeps microseconds."""
    assert wire.parse_stamp(wire.rfc3339(ns)) == ns
    assert wire.to_ns(wire.to_datetime(ns)) == ns // 1_000 * 1_000


@settings(deadline=None)  # a busy machine is no failure
@given(data=st.binary(max_size=200) | st.text(max_size=200), codec=CODECS)
def test_any_bytes_are_a_control_message_or_a_wire_error(data: bytes | str, codec: Codec) -> None:
    """Nothing a client sends raises anything else."""
    try:
        message = wire.decode_control(data, codec)
        wire.subscription_change(message)
    except WireError:
        return
    assert isinstance(message["action"], str)


@settings(deadline=None)  # a busy machine is no failure
@given(token=st.text(max_size=60), symbol=st.text("ABC", min_size=1), ns=INSTANTS, skip=st.integers(0, 10_000))
def test_a_page_token_is_ours_or_an_error(token: str, symbol: str, ns: int, skip: int) -> None:
    """A token is read as it was made; anything else is told."""
    assert wire.parse_page_token(wire.page_token(symbol, ns, skip)) == (symbol, ns, skip)
    with pytest.raises(WireError, match="page_token"):
        wire.parse_page_token("?" + token)


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("2026-11-20T14:30:00Z", 1_795_185_000_000_000_000),
        ("2026-11-20T14:30:00.5Z", 1_795_185_000_500_000_000),
        ("2026-11-20T14:30:00.123456789Z", 1_795_185_000_123_456_789),
        ("2026-11-20T09:30:00-05:00", 1_795_185_000_000_000_000),
        ("2026-11-20", 1_795_150_800_000_000_000),  # midnight in New York
    ],
)
def test_stamps_read_as_rfc_3339_or_as_new_yorks_date(text: str, ns: int) -> None:
    """Zero to nine digits, Z or an offset; a bare date is New York's."""
    assert wire.parse_stamp(text) == ns


@pytest.mark.parametrize("text", ["", "now", "2026-13-01", "2026-02-30T10:00:00Z", "2026-11-20T14:30:00", "20261120"])
def test_other_stamps_are_told(text: str) -> None:
    """A naive instant is not guessed."""
    with pytest.raises(WireError):
        wire.parse_stamp(text)


def test_trailing_zeros_are_trimmed() -> None:
    """As Alpaca writes: no fraction where there is none."""
    at = wire.to_ns(datetime(2021, 2, 22, 15, 51, 44, 208_000, tzinfo=UTC))
    assert wire.rfc3339(at) == "2021-02-22T15:51:44.208Z"
    assert wire.rfc3339(at - 208_000_000) == "2021-02-22T15:51:44Z"


def test_msgpack_stamps_are_the_extension_that_client_libraries_read() -> None:
    """Extension -1: the client library's own decoder makes a timestamp of it, nanoseconds kept; before 1970 too."""
    for ns in (1_614_009_104_208_000_123, 0, -1):
        (message,) = msgpack.unpackb(wire.frame([wire.encode_message({"T": "t", "t": ns}, "msgpack")], "msgpack"))
        assert message["t"].to_unix_nano() == ns


@pytest.mark.parametrize("codec", wire.CODECS)
@pytest.mark.parametrize("count", [0, 15, 16, 65_535, 65_536])
def test_frames_of_any_length_are_arrays(count: int, codec: Codec) -> None:
    """Each of msgpack's three array headers, and JSON's one."""
    encoded = [wire.encode_message({"T": "success"}, codec)] * count
    assert len(wire.decode_frame(wire.frame(encoded, codec), codec)) == count


def test_an_acknowledgement_is_the_full_set_sorted() -> None:
    """Every channel, empty ones too; imbalances only where they are held."""
    ack = wire.subscription({"trades": {"SPY", "AAPL"}, "corrections": {"SPY", "AAPL"}})
    assert ack == {
        "T": "subscription",
        "trades": ["AAPL", "SPY"],
        "quotes": [],
        "bars": [],
        "updatedBars": [],
        "dailyBars": [],
        "statuses": [],
        "lulds": [],
        "corrections": ["AAPL", "SPY"],
        "cancelErrors": [],
    }
    assert wire.subscription({"imbalances": {"A"}})["imbalances"] == ["A"]


def test_control_messages_come_in_either_codec_and_bounded() -> None:
    """Text is JSON even on a msgpack connection; a megabyte is the most that is read."""
    asked = {"action": "subscribe", "trades": ["AAPL"], "bars": []}
    assert wire.decode_control(json.dumps(asked), "msgpack") == asked
    assert wire.decode_control(json.dumps(asked).encode(), "json") == asked
    assert wire.decode_control(msgpack.packb(asked), "msgpack") == asked
    assert wire.subscription_change(asked) == {"trades": {"AAPL"}, "bars": set()}
    with pytest.raises(WireError, match="at most"):
        wire.decode_control(b" " * (wire.CONTROL_MAX_BYTES + 1), "json")
    with pytest.raises(WireError, match="no channel 'news'"):
        wire.subscription_change({"action": "subscribe", "news": ["A"]})
    with pytest.raises(WireError, match="list of symbols"):
        wire.subscription_change({"action": "subscribe", "bars": "A"})
    with pytest.raises(WireError):
        wire.decode_frame("{", "json")


def test_a_rest_row_has_neither_type_nor_symbol() -> None:
    """The message as REST shows it."""
    assert wire.rest_row({"T": "t", "S": "A", "p": 1.5, "t": 0}) == {"p": 1.5, "t": "1970-01-01T00:00:00Z"}
    assert json.loads(wire.encode_json({"a": [1.5]})) == {"a": [1.5]}
    assert wire.success("connected") == {"T": "success", "msg": "connected"}
    assert wire.error(405, "symbol limit exceeded") == {"T": "error", "code": 405, "msg": "symbol limit exceeded"}


@pytest.mark.needs_tape
def test_alpacas_own_stream_examples_survive_both_codecs() -> None:
    """Each documented market message, decoded and written again, is the same; controls are ours word for word."""
    seen: set[str] = set()
    for line in recorded("wire/doc_stream_examples.jsonl").read_text().splitlines():
        example: Any = json.loads(line)["json"]
        kind = example.get("T") if isinstance(example, dict) else None
        if kind in wire.CHANNEL_OF:
            (message,) = wire.decode_frame(json.dumps([example]), "json")
            assert json.loads(wire.encode_message(message, "json")) == example
            assert wire.decode_frame(wire.frame([wire.encode_message(message, "msgpack")], "msgpack"), "msgpack") == [
                message
            ]
            seen.add(kind)
        elif isinstance(example, list) and example[0].get("T") == "success":
            assert example == [wire.success(example[0]["msg"])]
        elif isinstance(example, list) and example[0].get("T") == "error":
            assert example == [wire.error(example[0]["code"], example[0]["msg"])]
    assert {"t", "q", "b", "d", "s"} <= seen
