"""The market-data stream, against a server in this process that misbehaves on order."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import msgpack
import pytest

from deskd.alpaca.connection import Timing
from deskd.alpaca.stream import MarketStream
from deskd.domain.ids import Symbol
from deskd.ports import RawMarketMessage
from tests.alpaca.server import KEYS, FakeAlpaca, Hole, a_tick, fake_alpaca, states
from tests.factories import AAPL, NOON, SPY
from tests.hang import HANG_S

QUICK = Timing(open_s=2, ack_s=2, reconnect_min_s=0.01, reconnect_max_s=0.05, refused_s=0.05)
ONE = {"trades": frozenset({AAPL})}


@dataclass
class Ears:
    """What a stream has told, and a way to wait for it."""

    batches: list[list[RawMarketMessage]] = field(default_factory=list)
    told: list[tuple[bool, str]] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def hear(self, messages: list[RawMarketMessage]) -> None:
        self.batches.append(messages)
        self.changed.set()

    async def note(self, is_up: bool, why: str) -> None:
        self.told.append((is_up, why))
        self.changed.set()

    @property
    def messages(self) -> list[RawMarketMessage]:
        return [message for batch in self.batches for message in batch]

    async def until_up(self, times: int = 1) -> None:
        await self.until(lambda: states(self.told).count(True) >= times)

    async def until(self, holds: Any) -> None:
        async with asyncio.timeout(HANG_S):
            while not holds():
                self.changed.clear()
                await self.changed.wait()


def a_stream(fake: FakeAlpaca, ears: Ears, **overrides: Any) -> MarketStream:
    fields: dict[str, Any] = {
        "url": fake.endpoints.data_stream,
        "keys": KEYS,
        "on_messages": ears.hear,
        "on_state": ears.note,
        "stale_after_s": 30.0,
        "timing": QUICK,
    }
    return MarketStream(**fields | overrides)


@asynccontextmanager
async def running(stream: MarketStream) -> AsyncIterator[asyncio.Task[None]]:
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(stream.run())
        try:
            yield task
        finally:
            task.cancel()


async def end_of(stream: MarketStream, ears: Ears, blow: Coroutine[Any, Any, None]) -> None:
    """Deal the blow once the stream is up, and wait for its end."""
    async with running(stream) as task:
        await ears.until_up()
        await blow
        await task


async def test_messages_arrive_whole_and_in_order() -> None:
    """Every message of every frame is handed on, in order, its stamp in nanoseconds."""
    ears = Ears()
    async with fake_alpaca() as fake:
        stream = a_stream(fake, ears)
        stream.set_symbols(ONE)
        async with running(stream):
            await ears.until_up()
            for n in range(0, 3_000, 3):
                await fake.send_data(*(a_tick(float(n + i)) for i in range(3)))
            await ears.until(lambda: len(ears.messages) == 3_000)
    assert [m["p"] for m in ears.messages] == [float(n) for n in range(3_000)]
    assert ears.messages[0]["t"] == int(NOON.timestamp()) * 10**9 + 123_456_789
    assert len(ears.batches) < 1_000, "what is there already is taken at once"


async def test_nothing_is_connected_before_the_first_symbol_is_wanted() -> None:
    """A desk without strategies holds no connection, and spends no time on waiting."""
    ears = Ears()
    async with fake_alpaca() as fake:
        stream = a_stream(fake, ears)
        async with running(stream):
            await asyncio.sleep(0.05)
            assert not fake.heard
            stream.set_symbols(ONE)
            await ears.until_up()
    assert fake.heard[1:] == [{"action": "subscribe", "trades": ["AAPL"]}]


async def test_its_state_is_said_in_words() -> None:
    """For `deskctl status`: not needed, connecting, up, and what is wrong with it."""
    ears = Ears()
    async with fake_alpaca() as fake:
        fake.handshakes.append(429)
        stream = a_stream(fake, ears)
        seen = [stream.state()]
        stream.set_symbols(ONE)
        seen.append(stream.state())
        async with running(stream):
            await ears.until(lambda: ears.told)
            seen.append(stream.state())
            await ears.until_up()
            seen.append(stream.state())
    assert seen == [
        "not needed yet",
        "connecting",
        "down: not connected: HTTP 429 in answer to the websocket handshake",
        "up: subscribed",
    ]


async def test_symbols_change_while_it_runs() -> None:
    """Only the difference is sent, from the loop itself, and the loop goes on turning."""
    ears = Ears()
    async with fake_alpaca() as fake:
        stream = a_stream(fake, ears)
        stream.set_symbols(ONE)
        async with running(stream):
            await ears.until_up()
            stream.set_symbols({"trades": frozenset({AAPL, SPY}), "quotes": frozenset({SPY})})
            await fake.until(lambda: fake.held["quotes"] == {"SPY"})
            stream.set_symbols({"trades": frozenset({SPY})})
            await fake.until(lambda: not fake.held["quotes"])
            await fake.until(lambda: fake.held["trades"] == {"SPY"})
    assert fake.heard[2:] == [
        {"action": "subscribe", "quotes": ["SPY"], "trades": ["SPY"]},
        {"action": "unsubscribe", "quotes": ["SPY"], "trades": ["AAPL"]},
    ]


async def test_changes_in_a_burst_become_one() -> None:
    """Ten strategies that start together are one message to the broker, not ten."""
    ears = Ears()
    async with fake_alpaca() as fake:
        stream = a_stream(fake, ears)
        stream.set_symbols(ONE)
        async with running(stream):
            await ears.until_up()
            for n in range(1, 11):
                stream.set_symbols({"trades": frozenset(Symbol(f"X{i}") for i in range(n))})
            await fake.until(lambda: len(fake.held["trades"]) == 10)
    assert len(fake.heard) == 2 + 2, "one unsubscribe and one subscribe"


async def test_a_long_subscription_arrives_whole() -> None:
    """Five thousand symbols go as fragments of one message."""
    ears, many = Ears(), frozenset(Symbol(f"SYM{n}") for n in range(5_000))
    async with fake_alpaca() as fake:
        stream = a_stream(fake, ears)
        stream.set_symbols({"trades": many})
        async with running(stream):
            await ears.until_up()
        assert fake.heard[1]["trades"] == sorted(many)


async def test_a_symbol_limit_costs_only_what_is_over_it() -> None:
    """405 is told with the symbols it concerns; the others are subscribed all the same."""
    ears, five = Ears(), frozenset(Symbol(f"S{n}") for n in range(5))
    async with fake_alpaca() as fake:
        fake.symbol_limit = 3
        stream = a_stream(fake, ears)
        stream.set_symbols({"trades": five})
        async with running(stream):
            await ears.until_up()
            assert len(fake.held["trades"]) == 3
            assert ears.told == [(True, "405 symbol limit exceeded: no data for trades S3, trades S4")]
            assert stream.refused() == {
                ("trades", "S3"): "405 symbol limit exceeded",
                ("trades", "S4"): "405 symbol limit exceeded",
            }
            stream.set_symbols({"trades": frozenset({Symbol("S3"), Symbol("S4")})})  # room now
            await ears.until_up(2)
            assert not stream.refused()
    assert ears.told[1] == (True, "subscribed")


async def test_who_had_data_keeps_it_over_a_reconnect() -> None:
    """Under a symbol limit, a reconnect subscribes first what was subscribed before."""
    ears = Ears()
    async with fake_alpaca() as fake:
        fake.symbol_limit = 1
        stream = a_stream(fake, ears)
        stream.set_symbols({"trades": frozenset({SPY})})
        async with running(stream):
            await ears.until_up()
            stream.set_symbols({"trades": frozenset({SPY, AAPL})})
            await ears.until_up(2)
            fake.drop()
            await ears.until_up(3)
            assert fake.held["trades"] == {"SPY"}


async def test_an_acknowledgement_that_lacks_symbols_is_told() -> None:
    """What the server acknowledged is believed, not what was sent."""
    ears = Ears()
    async with fake_alpaca() as fake:
        fake.acks = False
        stream = a_stream(fake, ears)
        stream.set_symbols({"trades": frozenset({AAPL, SPY})})
        async with running(stream):
            await fake.until(lambda: len(fake.heard) == 2)
            await fake.send_data({"T": "subscription", "trades": ["AAPL"]})
            await ears.until_up()
    assert ears.told == [(True, "not acknowledged: no data for trades SPY")]


async def test_a_dropped_connection_heals_and_subscribes_again() -> None:
    """Down is told with its reason, then up; data flow again."""
    ears = Ears()
    async with fake_alpaca() as fake:
        stream = a_stream(fake, ears)
        stream.set_symbols(ONE)
        async with running(stream):
            await ears.until_up()
            for n in range(2, 6):
                fake.drop()
                await ears.until_up(n)
            await fake.send_data(a_tick())
            await ears.until(lambda: ears.messages)
    assert states(ears.told) == [True] + [False, True] * 4
    assert ears.told[1][1].startswith("connection lost: ")


@pytest.mark.parametrize(
    "answer",
    [
        {"T": "error", "code": 406, "msg": "connection limit exceeded"},
        {"T": "error", "code": 404, "msg": "auth timeout"},
        {"T": "error", "code": 402, "msg": "auth failed"},
        {"T": "error", "code": 500, "msg": "internal error"},
        {"T": "success", "msg": "what?"},
    ],
)
async def test_a_refusal_that_may_heal_is_tried_again(answer: dict[str, Any]) -> None:
    """406 and the like are told in the broker's words, and the next try succeeds."""
    ears = Ears()
    async with fake_alpaca() as fake:
        fake.data_auth.extend([answer, answer])
        stream = a_stream(fake, ears)
        stream.set_symbols(ONE)
        async with running(stream):
            await ears.until_up()
    why = f"not connected: {answer.get('code', '?')} {answer['msg']}"
    assert ears.told == [(False, why), (True, "subscribed")], "the same refusal twice is told once"


@pytest.mark.parametrize(
    ("answers", "says"),
    [
        ([{"T": "error", "code": 402, "msg": "auth failed"}] * 5, "402 auth failed: check APCA_API_KEY_ID"),
        ([{"T": "error", "code": 409, "msg": "insufficient subscription"}] * 3, "choose a [market] feed"),
        ([{"T": "error", "code": 411, "msg": "insufficient scope"}] * 3, "choose a [market] feed"),
    ],
)
async def test_what_an_officer_must_mend_is_told_and_heals_when_it_is_mended(
    answers: Sequence[dict[str, Any]], says: str
) -> None:
    """Bad keys and a plan without the feed end no desk: its orders are watched by the other stream."""
    ears = Ears()
    async with fake_alpaca() as fake:
        fake.data_auth.extend(answers)
        stream = a_stream(fake, ears)
        stream.set_symbols(ONE)
        async with running(stream):
            await ears.until_up()
    assert states(ears.told)[-1] is True
    assert says in ears.told[-2][1]


@pytest.mark.parametrize("code", [401, 402, 404, 406, 408, 409, 411])
async def test_a_code_that_says_we_are_nobody_ends_the_connection(code: int) -> None:
    """After the login, too: no data would ever come, so a new connection is made at once instead of after a silence."""
    ears = Ears()
    async with fake_alpaca() as fake:
        stream = a_stream(fake, ears)
        stream.set_symbols(ONE)
        async with running(stream):
            await ears.until_up()
            await fake.send_data({"T": "error", "code": code, "msg": "as told"})
            await ears.until_up(2)
            assert len(fake.data_sockets) == 1
    assert ears.told[1][0] is False
    assert ears.told[1][1].startswith(f"connection lost: {code} as told")


@pytest.mark.parametrize("code", [400, 403, 405, 407, 410, 500])
async def test_a_code_that_changes_nothing_is_told_and_the_connection_stays(code: int) -> None:
    """It shows in the state, in the server's words; data go on."""
    ears = Ears()
    async with fake_alpaca() as fake:
        stream = a_stream(fake, ears)
        stream.set_symbols(ONE)
        async with running(stream):
            await ears.until_up()
            await fake.send_data({"T": "error", "code": code, "msg": "as told"})
            await ears.until(lambda: len(ears.told) == 2)
            await fake.send_data(a_tick())
            await ears.until(lambda: ears.messages)
    assert ears.told[1] == (True, f"{code} as told")


async def test_a_slow_client_that_is_cut_off_knows_why() -> None:
    """The loss is told with what the server had said, not as a mere drop."""
    ears = Ears()
    async with fake_alpaca() as fake:
        stream = a_stream(fake, ears)
        stream.set_symbols(ONE)
        async with running(stream):
            await ears.until_up()
            await fake.send_data({"T": "error", "code": 407, "msg": "slow client"})
            await ears.until(lambda: len(ears.told) == 2)
            fake.drop()
            await ears.until_up(3)
            fake.drop()
            await ears.until(lambda: len(ears.told) == 5)
    assert ears.told[2][1].endswith("(the server had said: 407 slow client)")
    assert "slow client" not in ears.told[4][1], "the next connection has a clean record"


async def test_a_slot_that_an_old_session_holds_is_waited_for() -> None:
    """406 may last for a minute and a half: it is told once, tried again, and heals by itself."""
    ears = Ears()
    taken = {"T": "error", "code": 406, "msg": "connection limit exceeded"}
    async with fake_alpaca() as fake:
        fake.data_auth.extend([taken] * 12)
        stream = a_stream(fake, ears)
        stream.set_symbols(ONE)
        async with running(stream):
            await ears.until_up()
    assert ears.told == [(False, "not connected: 406 connection limit exceeded"), (True, "subscribed")]


async def test_an_http_refusal_of_the_handshake_heals() -> None:
    """429 on the handshake (too many connects at once) is told, and tried again later."""
    ears = Ears()
    async with fake_alpaca() as fake:
        fake.handshakes.extend([429])
        stream = a_stream(fake, ears)
        stream.set_symbols(ONE)
        async with running(stream):
            await ears.until_up()
    assert ears.told[0] == (False, "not connected: HTTP 429 in answer to the websocket handshake")


async def test_an_error_that_changes_nothing_is_told() -> None:
    """407 (slow client) shows in the state even before the server hangs up."""
    ears = Ears()
    async with fake_alpaca() as fake:
        stream = a_stream(fake, ears)
        stream.set_symbols(ONE)
        async with running(stream):
            await ears.until_up()
            await fake.send_data({"T": "error", "code": 407, "msg": "slow client"})
            await ears.until(lambda: len(ears.told) == 2)
    assert ears.told[1] == (True, "407 slow client")


async def test_silence_while_the_market_is_open_reconnects() -> None:
    """Connected, acknowledged and mute is a fault only during the session."""
    ears = Ears()
    async with fake_alpaca() as fake:
        stream = a_stream(fake, ears, stale_after_s=0.1)
        stream.set_symbols(ONE)
        async with running(stream):
            await ears.until_up()
            await asyncio.sleep(0.25)
            assert states(ears.told) == [True], "the market is closed: silence is normal"
            stream.set_market_open(True)
            await ears.until_up(2)
            stream.set_market_open(False)
    assert ears.told[1][0] is False
    assert "no market data" in ears.told[1][1]


async def test_quiet_symbols_are_not_reconnected_for_ever() -> None:
    """Where a reconnect brings nothing, the patience doubles: a thin symbol is no fault of the connection."""
    ears = Ears()
    async with fake_alpaca() as fake:
        stream = a_stream(fake, ears, stale_after_s=0.05)
        stream.set_symbols(ONE)
        stream.set_market_open(True)
        async with running(stream):
            await asyncio.sleep(0.8)
    assert 2 <= states(ears.told).count(False) <= 4, "after 0.05, 0.1, 0.2 and 0.4 s"


async def test_a_server_that_never_answers_a_subscription_is_left() -> None:
    """A mute server is found by its missing acknowledgement."""
    ears = Ears()
    async with fake_alpaca() as fake:
        fake.acks = False
        stream = a_stream(fake, ears, timing=Timing(ack_s=0.05, reconnect_min_s=0.01, reconnect_max_s=0.01))
        stream.set_symbols(ONE)
        async with running(stream):
            await ears.until(lambda: ears.told)
            fake.acks = True
            await ears.until_up()
    assert ears.told[0] == (False, "connection lost: no answer to subscribe within 0.05 s")


async def test_a_black_hole_is_found_and_left() -> None:
    """TCP that swallows everything is found by missing pongs; once it is gone the stream is back."""
    ears = Ears()
    patience = Timing(open_s=0.3, ping_every_s=0.1, ping_answer_s=0.1, reconnect_min_s=0.01, reconnect_max_s=0.05)
    async with fake_alpaca() as fake, Hole(int(fake.url.rsplit(":", 1)[1])).listening() as hole:
        stream = a_stream(fake, ears, url=f"ws://127.0.0.1:{hole.port}/v2/iex", timing=patience)
        stream.set_symbols(ONE)
        async with running(stream):
            await ears.until_up()
            hole.is_open.clear()
            await ears.until(lambda: not ears.told[-1][0])
            hole.is_open.set()
            await ears.until_up(2)
    assert [is_up for is_up, _ in ears.told][-1]


async def test_canceling_closes_the_socket() -> None:
    """A stopped desk leaves no half-open connection that would hold the account's only slot."""
    ears = Ears()
    async with fake_alpaca() as fake:
        stream = a_stream(fake, ears)
        stream.set_symbols(ONE)
        async with running(stream):
            await ears.until_up()
            assert len(fake.data_sockets) == 1
        await fake.until(lambda: not fake.data_sockets)


async def test_nonsense_from_the_server_is_no_market_data() -> None:
    """Messages without their fields are left out; a frame that is no list ends the connection; nothing crashes."""
    ears = Ears()
    async with fake_alpaca() as fake:
        stream = a_stream(fake, ears)
        stream.set_symbols(ONE)
        async with running(stream):
            await ears.until_up()
            await fake.send_data({"T": "t", "S": "AAPL"}, {"T": "?", "S": "AAPL"}, 7, None, a_tick(1.0))  # type: ignore[arg-type]
            await fake.send_raw(msgpack.packb([["T"], {}]))
            await ears.until(lambda: ears.messages)
            assert [m["p"] for m in ears.messages] == [1.0]
            for n, frame in enumerate([b"\xc1", msgpack.packb({"T": "t"}), b"", msgpack.packb(7)]):
                await fake.send_raw(frame)
                await ears.until_up(n + 2)


async def test_a_mistake_of_ours_is_seen() -> None:
    """An exception of the receiver is a fault of the desk: it ends the stream instead of being logged for ever."""

    def broken(_: list[RawMarketMessage]) -> None:
        raise ZeroDivisionError

    ears = Ears()
    async with fake_alpaca() as fake:
        stream = a_stream(fake, ears, on_messages=broken)
        stream.set_symbols(ONE)
        with pytest.raises(ExceptionGroup) as caught:
            await end_of(stream, ears, fake.send_data(a_tick()))
        assert caught.group_contains(ZeroDivisionError)
