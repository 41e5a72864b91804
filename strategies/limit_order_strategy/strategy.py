"""Waits with limit orders: buys a little under the market, then sells a little over it.

Shows how an order lives: place_order gives it an id, get_order tells how it stands, cancel_order calls it back.
"""

import json
import os
import sys
import time

try:
    from desk_client import DeskError, DeskUnavailable, cancel_order, get_order, get_position, place_order
except ImportError:
    sys.exit("desk_client is not installed: run `pip install ./sandbox` in the desk's checkout")

THRESHOLD = float(os.environ.get("THRESHOLD", "0.01"))  # percent away from the market
MAX_POSITION = int(os.environ.get("MAX_POSITION", "3"))  # shares of one symbol
PATIENCE_S = float(os.environ.get("PATIENCE_S", "20"))  # then the order is called back and priced anew

orders = {}  # symbol -> (client_order_id, when it was placed)
looked_at = {}  # symbol -> when we last asked for its order


def on_price(symbol, price):
    now = time.monotonic()
    if now - looked_at.get(symbol, 0) < 1:
        return  # once a second is often enough
    looked_at[symbol] = now
    if symbol not in orders:
        place(symbol, price)
        return
    client_order_id, placed_at = orders[symbol]
    order = get_order(client_order_id)
    if order.status == "filled":
        print(f"{symbol} {price}: {order.side} {order.qty} filled at {order.filled_avg_price}")
        del orders[symbol]
    elif order.status in ("canceled", "expired", "rejected", "denied"):
        print(f"{symbol} {price}: {order.side} {order.qty} at {order.limit_price} was {order.status} {order.message}")
        del orders[symbol]
    elif now - placed_at > PATIENCE_S and order.status != "pending_cancel":
        print(f"{symbol} {price}: the market went away from {order.limit_price}; calling the order back")
        cancel_order(client_order_id)


def place(symbol, price):
    held = float(get_position(symbol).qty)
    if held < MAX_POSITION:
        side, limit_price = "buy", price * (1 - THRESHOLD / 100)
    else:
        side, limit_price = "sell", price * (1 + THRESHOLD / 100)
    qty = 1 if side == "buy" else int(held)
    response = place_order(symbol, qty, side, "limit", limit_price=round(limit_price, 2))
    print(f"{symbol} {price}: {side} {qty} at {limit_price:.2f}: {response.status} {response.message}")
    if response.status in ("success", "pending"):
        orders[symbol] = (response.client_order_id, time.monotonic())


for line in sys.stdin:
    message = json.loads(line)
    try:
        on_price(message["symbol"], message["price"])
    except DeskUnavailable as error:
        print(error)
        break
    except DeskError as error:  # it said no to a question: asked too often, for example
        print(error)
