"""How a stream is kept connected."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NoReturn

import pytest
from websockets.datastructures import Headers
from websockets.legacy.exceptions import InvalidStatusCode

from deskd.alpaca.connection import RETRY_AFTER_MAX_S, TIMING, Timing, close_socket, keep_connected, retry_after, worst
from deskd.domain.errors import BrokerFatal

HASTY = Timing(open_s=0.05)


@dataclass
class Line:
    """A connection that fails as told; each of its lives is one entry: (fault at opening, fault while it serves)."""

    lives: list[tuple[BaseException | None, BaseException]]
    brings_data: Callable[[int], bool] = lambda _: False
    timing: Timing = HASTY
    waits: list[int] = field(default_factory=list)
    closed: int = 0
    life: int = -1

    async def open(self) -> None:
        self.life += 1
        if (fault := self.lives[self.life][0]) is not None:
            raise fault

    async def serve(self) -> NoReturn:
        raise self.lives[self.life][1]

    async def close(self) -> None:
        self.closed += 1

    def delay(self, failures: int) -> float:
        self.waits.append(failures)
        return 0.0

    def has_received(self) -> bool:
        return self.brings_data(self.life)


async def kept(line: Line) -> list[str]:
    """Return why it was lost each time, until it runs out of lives."""
    told: list[str] = []

    async def note(why: str) -> None:
        told.append(why)

    with pytest.raises(BrokerFatal, match="the end"):
        await keep_connected(line, note)
    return told


THE_END = BrokerFatal("the end")
LOST = ConnectionError("lost")


async def test_the_wait_grows_until_a_connection_was_good() -> None:
    """Failures in a row are counted; a life that brought data starts the count anew."""
    line = Line([(None, LOST)] * 5 + [(THE_END, LOST)], brings_data=lambda life: life == 3)
    assert await kept(line) == ["connection lost: lost"] * 5
    assert line.waits == [1, 2, 3, 1, 2]
    assert line.closed == 6, "the socket is closed before each wait, and at the end"


async def test_nonsense_while_it_opens_is_a_refusal_like_any_other() -> None:
    """alpaca-py reads the greeting without a look: a peer that lies must not end the desk."""
    lies: list[BaseException] = [KeyError("T"), IndexError(), TypeError("no list"), ValueError("x"), AttributeError()]
    line = Line([(lie, LOST) for lie in lies] + [(None, THE_END)])
    assert all(why.startswith("not connected: ") for why in await kept(line))


async def test_the_same_nonsense_while_it_serves_is_ours() -> None:
    """There we read ourselves: a KeyError is a mistake of the desk, and is seen."""
    line = Line([(None, KeyError("ours"))])
    with pytest.raises(KeyError, match="ours"):
        await kept(line)
    assert line.closed == 1


async def test_an_open_that_hangs_is_left() -> None:
    """Connect and login have a bound."""

    class Hanging(Line):
        async def open(self) -> None:
            await super().open()
            if self.life == 0:
                await asyncio.sleep(60)

    assert await kept(Hanging([(None, THE_END)] * 2)) == ["not connected: no answer in time"]


def test_our_own_mistake_goes_before_the_worlds() -> None:
    """Of several faults at once the one that must be seen is passed on."""
    group = BaseExceptionGroup("", [LOST, THE_END, ZeroDivisionError()])
    assert isinstance(worst(group), ZeroDivisionError)
    assert worst(BaseExceptionGroup("", [LOST, THE_END])) is THE_END


async def test_closing_nothing_is_nothing() -> None:
    """A connection that never opened can be closed."""
    assert await close_socket(None) is None  # type: ignore[func-returns-value]


def test_a_dead_link_is_found_in_seconds() -> None:
    """alpaca-py's own setting takes over three minutes."""
    assert TIMING.ping_every_s + TIMING.ping_answer_s <= 15
    assert TIMING.websocket()["close_timeout"] == 1


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("7", 7.0),
        ("999999", RETRY_AFTER_MAX_S),
        ("", 0.0),
        ("-1", 0.0),
        ("Fri, 31 Dec", 0.0),
        ("1" * 50, 0.0),
    ],
)
def test_a_server_that_says_when_to_come_again_is_obeyed(text: str, seconds: float) -> None:
    """In whole seconds, and within a bound; anything else is as if nothing was said."""
    assert retry_after(InvalidStatusCode(429, Headers({"Retry-After": text}))) == seconds
    assert retry_after(ConnectionError("refused")) == 0


def test_a_header_that_comes_twice_is_no_crash() -> None:
    """A peer that says two things is believed in the shorter one."""
    headers = Headers()
    headers["Retry-After"] = "9"
    headers["Retry-After"] = "7"
    assert retry_after(InvalidStatusCode(429, headers)) == 7


async def test_the_longer_wait_of_the_two_is_waited() -> None:
    """A storm of 429 is not fed by a desk that knows better than the server."""
    refused = InvalidStatusCode(429, Headers({"Retry-After": "1"}))
    line = Line([(refused, LOST), (None, THE_END)])
    began = asyncio.get_running_loop().time()
    await kept(line)
    assert asyncio.get_running_loop().time() - began >= 1
