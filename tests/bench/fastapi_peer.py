"""The peer of the order round trip: an order endpoint as FastAPI's guide has it, JSON over TCP, uvicorn on uvloop.

usage: python -m tests.bench.fastapi_peer PORT DATABASE      DATABASE: `-` answers only; a path inserts one row, FULL
"""

import sqlite3
import sys
from decimal import Decimal
from typing import Literal

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel, Field


class OrderIn(BaseModel):
    client_order_id: str = Field(min_length=1, max_length=128)
    symbol: str = Field(pattern=r"^[A-Z]{1,10}$")
    qty: Decimal = Field(gt=0)
    side: Literal["buy", "sell"]
    order_type: Literal["market", "limit"] = "market"


class OrderOut(BaseModel):
    status: str
    client_order_id: str


def an_app(database: str) -> FastAPI:
    app = FastAPI()
    if database == "-":

        @app.post("/order")  # type: ignore[untyped-decorator]
        async def answer(order: OrderIn) -> OrderOut:
            return OrderOut(status="denied", client_order_id=order.client_order_id)

        return app
    connection = sqlite3.connect(database, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("CREATE TABLE orders (client_order_id TEXT PRIMARY KEY, symbol TEXT, qty TEXT, side TEXT)")

    @app.post("/order")  # type: ignore[untyped-decorator]
    async def insert(order: OrderIn) -> OrderOut:
        row = (order.client_order_id, order.symbol, str(order.qty), order.side)
        connection.execute("INSERT INTO orders VALUES (?, ?, ?, ?)", row)
        return OrderOut(status="denied", client_order_id=order.client_order_id)

    return app


if __name__ == "__main__":
    port, database = sys.argv[1:]
    uvicorn.run(an_app(database), host="127.0.0.1", port=int(port), loop="uvloop", http="httptools", log_level="error")
