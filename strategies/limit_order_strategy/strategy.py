"""Waits with limit orders: buys a little under the market, then sells a little over it.

Shows how an order lives. place_order says whether the broker has it; what becomes of it comes as lines of type "order",
because config.json asks for the channel "orders"; cancel_order calls it back when the market has gone away.
"""

import json
import os
import sys
from datetime import datetime

try:
    from desk_client import DeskUnavailable, cancel_order, get_position, place_order
except ImportError:
    sys.exit("desk_client is not installed: run `pip install ./sandbox` in the desk's checkout")

THRESHOLD = float(os.environ.get("THRESHOLD", "0.01"))  # percent away from the market
MAX_POSITION = int(os.environ.get("MAX_POSITION", "3"))  # shares of one symbol
PATIENCE_S = float(os.environ.get("PATIENCE_S", "20"))  # then an order is called back and priced anew

waiting = {}  # symbol -> the client_order_id of our order
look_at = {}  # symbol -> when to do something next, in the market's time


def on_price(symbol, price, now):
    if now < look_at.get(symbol, now):
        return
    look_at[symbol] = now + PATIENCE_S
    if symbol in waiting:
        response = cancel_order(waiting[symbol])
        print(f"{symbol} {price}: the market went away; calling the order back: {response.status} {response.message}")
    else:
        place(symbol, price)


def place(symbol, price):
    held = int(float(get_position(symbol).qty))
    if held < MAX_POSITION:
        side, qty, limit_price = "buy", 1, price * (1 - THRESHOLD / 100)
    else:
        side, qty, limit_price = "sell", held, price * (1 + THRESHOLD / 100)
    response = place_order(symbol, qty, side, "limit", limit_price=round(limit_price, 2))
    print(f"{symbol} {price}: {side} {qty} at {limit_price:.2f}: {response.status} {response.message}")
    if response.status in ("success", "pending"):
        waiting[symbol] = response.client_order_id


def on_order(update):
    symbol = update["symbol"]
    print(f"{symbol}: {update['side']} {update['qty']} is {update['status']}; we hold {update['position_qty']}")
    is_over = update["status"] in ("filled", "canceled", "expired", "rejected", "denied")
    if is_over and waiting.get(symbol) == update["client_order_id"]:
        del waiting[symbol], look_at[symbol]  # the next price gets a new order


def market_seconds(message):
    """Return the time the market stamped on the line; what one types on a laptop has none."""
    return datetime.fromisoformat(message.get("timestamp", "1970-01-01T00:00:00")[:19]).timestamp()


for line in sys.stdin:
    message = json.loads(line)
    try:
        if message.get("type") == "order":
            on_order(message)
        elif "price" in message:  # a `gap` line has none
            on_price(message["symbol"], message["price"], market_seconds(message))
    except DeskUnavailable as error:
        print(error)
        break
