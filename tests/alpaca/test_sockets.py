"""alpaca-py's streams as connections."""

import pytest
from structlog.testing import capture_logs

from deskd.alpaca.connection import TIMING
from deskd.alpaca.sockets import DataSocket, TradeSocket, Welcome, decode_text, encode_text
from deskd.domain.errors import BrokerFatal, WireError
from tests.alpaca.server import KEYS, fake_alpaca


async def test_both_connections_open_and_close() -> None:
    """alpaca-py speaks the handshake of either stream; closing leaves nothing open."""
    async with fake_alpaca() as fake:
        data = DataSocket(fake.endpoints.data_stream, KEYS, TIMING)
        trades = TradeSocket(fake.endpoints.trade_stream, KEYS, TIMING)
        assert (await data.open()).open
        assert (await trades.open()).open
        assert fake.heard == [
            {"action": "auth", "key": KEYS.key_id, "secret": KEYS.secret},
            {"action": "authenticate", "data": {"key_id": KEYS.key_id, "secret_key": KEYS.secret}},
        ]
        await data.close()
        await trades.close()
        await fake.until(lambda: not fake.data_sockets and not fake.trade_sockets)


async def test_keys_that_are_right_again_start_the_count_anew() -> None:
    """Three refusals in a row are fatal, not three in a year."""
    refused = {"T": "error", "code": 402, "msg": "auth failed"}
    async with fake_alpaca() as fake:
        data = DataSocket(fake.endpoints.data_stream, KEYS, TIMING)
        for _ in range(3):
            fake.data_auth.extend([refused, refused])
            for _ in range(2):
                with pytest.raises(ConnectionError, match="402 auth failed"):
                    await data.open()
                await data.close()
            await data.open()
            await data.close()


def test_the_waits_double_with_jitter() -> None:
    """Many desks that lost the same server do not come back at the same moment."""
    data = DataSocket("ws://127.0.0.1:1", KEYS, TIMING)
    for failures, most in ((1, 1.0), (2, 2.0), (3, 4.0), (9, 30.0)):
        assert most / 2 <= data.delay(failures) <= most


def tried(welcome: Welcome, *, is_fatal: bool = True) -> type[BaseException]:
    """Let the keys be refused once more; return what that is."""
    welcome.begin()
    try:
        welcome.refuse_keys("402 auth failed", is_fatal=is_fatal)
    except (ConnectionError, BrokerFatal) as error:
        return type(error)


def test_keys_that_never_worked_are_fatal_after_three_tries() -> None:
    """Whoever starts a desk with wrong keys hears of it at once, with what to check."""
    welcome = Welcome("ws://x", 60.0)
    assert [tried(welcome) for _ in range(3)] == [ConnectionError, ConnectionError, BrokerFatal]
    with pytest.raises(BrokerFatal, match=r"ws://x: 402 auth failed: check APCA_API_KEY_ID"):
        welcome.refuse_keys("402 auth failed", is_fatal=True)


def test_keys_that_have_worked_are_never_fatal() -> None:
    """A broker whose login fails at noon must not take the desk down that holds its members' positions."""
    welcome = Welcome("ws://x", 60.0)
    welcome.accept()
    with capture_logs() as logs:
        assert {tried(welcome) for _ in range(5)} == {ConnectionError}
    assert [(line["event"], line["log_level"]) for line in logs] == [("stream_refused", "error")], "said once"
    assert 30 <= welcome.delay(1.0) <= 60, "and tried again seldom"
    welcome.begin()
    assert welcome.delay(1.0) == 1.0, "the next try may fail for another reason"


def test_a_plan_without_the_feed_is_said_with_its_remedy_and_tried_again() -> None:
    """It is said once until it has worked again: the next time is news."""
    welcome = Welcome("ws://x", 60.0)
    with capture_logs() as logs:
        for _ in range(3):
            with pytest.raises(ConnectionError, match=r"409 insufficient subscription: choose a \[market\] feed"):
                welcome.refuse_plan("409 insufficient subscription")
        welcome.settle()
        with pytest.raises(ConnectionError):
            welcome.refuse_plan("409 insufficient subscription")
    assert [line["event"] for line in logs] == ["stream_refused"] * 2


def test_stream_messages_are_json_objects() -> None:
    """In text or in binary frames; anything else is a WireError."""
    assert decode_text(encode_text({"a": 1})) == decode_text(b'{"a": 1}') == {"a": 1}
    for frame in ("[]", b"\xff", "", "nonsense", b"[" * 100_000):
        with pytest.raises(WireError):
            decode_text(frame)
