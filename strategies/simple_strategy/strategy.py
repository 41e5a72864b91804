"""Buys a share when the price has fallen, sells one when it has risen. Read this one first.

A strategy is a program that reads the market from standard input, one JSON object a line, and calls place_order.
What it prints is its log. Try it on your laptop:

    echo '{"symbol": "AAPL", "price": 145.50}' | python strategies/simple_strategy/strategy.py
"""

import json
import os
import sys

try:
    from desk_client import DeskUnavailable, get_position, place_order
except ImportError:
    sys.exit("desk_client is not installed: run `pip install ./sandbox` in the desk's checkout")

# config.json sets these under "env"
THRESHOLD = float(os.environ.get("THRESHOLD", "0.1"))  # percent the price must move
MAX_POSITION = int(os.environ.get("MAX_POSITION", "5"))  # shares of one symbol

held = {}  # symbol -> shares
reference = {}  # symbol -> the price at which we last traded
patience = {}  # symbol -> lines to let pass after a no: the next one would get the same answer


def on_price(symbol, price):
    if patience.get(symbol, 0) > 0:
        patience[symbol] -= 1
        return
    if symbol not in held:
        held[symbol] = int(float(get_position(symbol).qty))  # not 0 if we ran before
        print(f"{symbol} {price}: the first price; we hold {held[symbol]}")
        if held[symbol] > 0:
            reference[symbol] = price
    if symbol not in reference:
        trade(symbol, "buy", price)
        return
    move = (price / reference[symbol] - 1) * 100
    if move <= -THRESHOLD and held[symbol] < MAX_POSITION:
        trade(symbol, "buy", price)
    elif move >= THRESHOLD and held[symbol] > 0:
        trade(symbol, "sell", price)


def trade(symbol, side, price):
    response = place_order(symbol, "1", side, reason=f"{THRESHOLD} % move")
    if response.status == "success":
        reference[symbol] = price
        held[symbol] += 1 if side == "buy" else -1
        print(f"{symbol} {price}: {side} 1, order {response.order_id}; we hold {held[symbol]}")
    else:
        patience[symbol] = 10
        print(f"{symbol} {price}: {side} 1 was {response.status}: {response.reason} {response.message}")


for line in sys.stdin:
    message = json.loads(line)
    try:
        on_price(message["symbol"], message["price"])
    except DeskUnavailable as error:
        print(error)
        break
