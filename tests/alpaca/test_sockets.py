"""alpaca-py's streams as connections."""

import pytest

from deskd.alpaca.connection import TIMING
from deskd.alpaca.sockets import DataSocket, TradeSocket, decode_text, encode_text, raise_if_fatal
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


def test_only_a_plans_limits_are_fatal_at_once() -> None:
    """The other codes heal."""
    for code in (400, 402, 405, 406, 407, 500, "409", None):
        raise_if_fatal("ws://x", code, "text")
    with pytest.raises(BrokerFatal, match="409 insufficient subscription: choose a"):
        raise_if_fatal("ws://x", 409, "insufficient subscription")


def test_stream_messages_are_json_objects() -> None:
    """In text or in binary frames; anything else is a WireError."""
    assert decode_text(encode_text({"a": 1})) == decode_text(b'{"a": 1}') == {"a": 1}
    for frame in ("[]", b"\xff", "", "nonsense", b"[" * 100_000):
        with pytest.raises(WireError):
            decode_text(frame)
