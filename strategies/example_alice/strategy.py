"""Alice buys after a minute that rose and sells after one that fell. She uses the class: methods, no loop.

Her config.json asks for the channels "bars" and "orders"; the latter brings `on_order_filled`.
"""

import sys

try:
    from desk_client import DeskUnavailable, Strategy, get_account, get_position, place_order
except ImportError:
    sys.exit("desk_client is not installed: run `pip install ./sandbox` in the desk's checkout")


class Alice(Strategy):
    def on_start(self, params):
        self.max_position = int(params.get("MAX_POSITION", "5"))
        self.last_close = {}
        print(f"starting with ${get_account().buying_power} to spend")

    def on_bar(self, bar):
        symbol, close = bar["symbol"], bar["close"]
        before = self.last_close.get(symbol)
        self.last_close[symbol] = close
        if before is None or bar.get("history"):
            return
        held = float(get_position(symbol).qty)
        if close > before and held < self.max_position:
            self.trade(symbol, 1, "buy", f"the minute rose from {before} to {close}")
        elif close < before and held > 0:
            self.trade(symbol, held, "sell", f"the minute fell from {before} to {close}")

    def trade(self, symbol, qty, side, reason):
        response = place_order(symbol, qty, side, reason=reason)
        print(f"{symbol}: {reason}; {side} {qty:g}: {response.status} {response.message}")

    def on_order_filled(self, order):
        print(f"{order['symbol']}: {order['side']} {order['qty']} is filled; we hold {order['position_qty']}")

    def on_stop(self):
        print("the desk stops me; good night")


try:
    Alice().run()
except DeskUnavailable as error:
    print(error)
