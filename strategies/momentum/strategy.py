"""Follows the trend: buys what has risen over the last LOOKBACK minutes, sells it when it has fallen over as many.

The usual lookback is 20 and, on daily bars, the usual threshold 2 %; a minute moves a fortieth of that. config.json sets
both so that there is something to see within minutes.
"""

import sys
from collections import deque

try:
    from desk_client import DeskUnavailable, Strategy, get_account, get_position, place_order
except ImportError:
    sys.exit("desk_client is not installed: run `pip install ./sandbox` in the desk's checkout")


class Momentum(Strategy):
    def on_start(self, params):
        self.lookback = int(params.get("LOOKBACK", "20"))  # minutes
        self.threshold = float(params.get("THRESHOLD", "0.1"))  # percent over the lookback
        self.max_position = float(params.get("MAX_POSITION", "0.1"))  # of what the strategy is worth, per symbol
        self.closes = {}  # symbol -> the last closes, oldest first
        print(f"starting with ${get_account().buying_power} to spend")

    def on_bar(self, bar):
        symbol, close = bar["symbol"], bar["close"]
        closes = self.closes.setdefault(symbol, deque(maxlen=self.lookback + 1))
        closes.append(close)
        if len(closes) <= self.lookback or bar.get("history"):
            return
        change = (close / closes[0] - 1) * 100
        print(f"{symbol}: close {close}, {change:+.3f} % in {self.lookback} minutes")
        held = float(get_position(symbol).qty)
        if change > self.threshold and held == 0:
            qty = int(float(get_account().equity) * self.max_position / close)
            self.trade(symbol, max(qty, 1), "buy", f"{change:+.3f} % in {self.lookback} minutes")
        elif change < -self.threshold and held > 0:
            self.trade(symbol, held, "sell", f"{change:+.3f} % in {self.lookback} minutes")

    def trade(self, symbol, qty, side, reason):
        response = place_order(symbol, qty, side, reason=reason)
        print(f"{symbol}: {reason}; {side} {qty:g}: {response.status} {response.message}")


try:
    Momentum().run()
except DeskUnavailable as error:
    print(error)
