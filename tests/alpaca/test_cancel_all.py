"""The cancel of all that is open: sent once, and each order's answer its own; what is not said stays in doubt."""

from typing import Any

import pytest
from aiohttp import web

from deskd.domain.events import CancelAllAnswered, CancelAnswered, CancelInDoubt
from deskd.domain.ids import BrokerOrderId, ClientOrderId
from tests.alpaca.server import cut, refusal, silence
from tests.alpaca.test_broker import ORDERS, a_broker
from tests.factories import NOON

WANTED = [(ClientOrderId(f"alice-{name}"), BrokerOrderId(name)) for name in "abcd"]


async def test_each_order_gets_its_own_answer() -> None:
    """Canceled, refused in the broker's words, failed, not named; and strangers' orders are told."""
    said = [
        {"id": "a", "status": 200},
        {"id": "b", "status": 422, "body": {"code": 42210000, "message": "order is filled"}},
        {"id": "c", "status": 500, "body": {"code": 50010000, "message": "internal server error"}},
        {"id": "theirs", "status": 200},
        {"id": "lost", "status": 500},
    ]
    async with a_broker() as (fake, broker):
        fake.answer("DELETE", ORDERS, web.json_response(said, status=207))
        answers = await broker.cancel_all(WANTED)
    assert answers == [
        CancelAnswered(client_order_id=WANTED[0][0], refusal=None, at=NOON),
        CancelAnswered(client_order_id=WANTED[1][0], refusal="order is filled (code=42210000)", at=NOON),
        CancelInDoubt(client_order_id=WANTED[2][0], why="internal server error (code=50010000)", at=NOON),
        CancelInDoubt(client_order_id=WANTED[3][0], why="the broker's answer does not name it", at=NOON),
        CancelAllAnswered(canceled=1, refused=1, unnamed=2, strangers=(BrokerOrderId("theirs"),), at=NOON),
    ]
    assert [(method, path) for method, path, _, _ in fake.requests] == [("DELETE", ORDERS)]


@pytest.mark.parametrize(
    "answer", [refusal(500, "oops"), web.Response(status=207, text="<html>"), refusal(404, "not found"), cut, silence]
)
async def test_without_a_clear_answer_every_order_is_in_doubt(answer: Any) -> None:
    """Nothing is invented: the stream or a look tells, and it may be asked again."""
    async with a_broker() as (fake, broker):
        fake.answer("DELETE", ORDERS, answer)
        answers = await broker.cancel_all(WANTED)
    assert [type(one) for one in answers] == [CancelInDoubt] * len(WANTED)


async def test_it_is_asked_until_the_broker_has_looked_at_it() -> None:
    """Turned away for the number of requests alone, it goes again."""
    async with a_broker() as (fake, broker):
        away = [refusal(429, "rate limit exceeded", 42910000) for _ in range(5)]
        fake.answer("DELETE", ORDERS, *away, web.json_response([], status=207))
        *_, total = await broker.cancel_all(())
    assert total == CancelAllAnswered(canceled=0, refused=0, unnamed=0, strangers=(), at=NOON)
    assert len(fake.requests) == 6
