"""Bob looks at the quotes: more shares bid than offered, and he buys; more offered than bid, and he sells.

His config.json asks for the channel "quotes". He trades a symbol at most once in INTERVAL_S seconds of the market's time,
not of his own: so the same day played again, at any speed, gives the same orders.
"""

import json
import os
import sys
from datetime import datetime

try:
    from desk_client import DeskUnavailable, get_account, get_position, place_order
except ImportError:
    sys.exit("desk_client is not installed: run `pip install ./sandbox` in the desk's checkout")

THRESHOLD = float(os.environ.get("THRESHOLD", "0.7"))  # share of the bid in all that is on offer
MAX_POSITION = int(os.environ.get("MAX_POSITION", "10"))  # shares of one symbol
INTERVAL_S = float(os.environ.get("INTERVAL_S", "60"))

traded_at = {}  # symbol -> when


def on_quote(symbol, bid_size, ask_size, now):
    if bid_size + ask_size == 0 or now - traded_at.get(symbol, 0) < INTERVAL_S:
        return
    pressure = bid_size / (bid_size + ask_size)
    if 1 - THRESHOLD < pressure < THRESHOLD:
        return
    traded_at[symbol] = now
    held = float(get_position(symbol).qty)
    if pressure >= THRESHOLD and held < MAX_POSITION:
        trade(symbol, "buy", f"{bid_size} bid for {ask_size} offered")
    elif pressure <= 1 - THRESHOLD and held > 0:
        trade(symbol, "sell", f"{ask_size} offered for {bid_size} bid")


def trade(symbol, side, reason):
    response = place_order(symbol, 1, side, reason=reason)
    print(f"{symbol}: {reason}; {side} 1: {response.status} {response.message}")


try:
    print(f"starting with ${get_account().buying_power} to spend")
    for line in sys.stdin:
        message = json.loads(line)
        if message.get("type") == "quote":
            now = datetime.fromisoformat(message["timestamp"][:19]).timestamp()
            on_quote(message["symbol"], message["bid_size"], message["ask_size"], now)
except DeskUnavailable as error:
    print(error)
