"""Bets that prices come back to the day's average: buys under the VWAP when the RSI is low, sells at it again.

VWAP: the average price of the day, weighted by volume. RSI: of the last RSI_PERIOD minutes' moves, the share that went
up, from 0 to 100. The usual settings are 14, 30 and 70; config.json sets livelier ones, so that there is something to
see within minutes.
"""

import sys
from collections import deque

try:
    from desk_client import DeskUnavailable, Strategy, get_account, get_position, place_order
except ImportError:
    sys.exit("desk_client is not installed: run `pip install ./sandbox` in the desk's checkout")


class Vwap:
    """The volume-weighted average price since the day began."""

    def __init__(self):
        self.day = None
        self.value = None

    def add(self, bar):
        day = bar["timestamp"][:10]
        if day != self.day:
            self.day, self.dollars, self.volume = day, 0.0, 0.0
        typical = (bar["high"] + bar["low"] + bar["close"]) / 3
        self.dollars += typical * bar["volume"]
        self.volume += bar["volume"]
        self.value = self.dollars / self.volume if self.volume else typical


class Rsi:
    """The relative strength index of the last *period* moves; None before there are as many."""

    def __init__(self, period):
        self.moves = deque(maxlen=period)
        self.last = None
        self.value = None

    def add(self, close):
        if self.last is not None:
            self.moves.append(close - self.last)
        self.last = close
        if len(self.moves) == self.moves.maxlen:
            ups = sum(move for move in self.moves if move > 0)
            downs = -sum(move for move in self.moves if move < 0)
            self.value = 100 * ups / (ups + downs) if ups + downs else 50.0


class VwapMeanReversion(Strategy):
    def on_start(self, params):
        self.rsi_period = int(params.get("RSI_PERIOD", "14"))
        self.rsi_low = float(params.get("RSI_LOW", "30"))
        self.rsi_high = float(params.get("RSI_HIGH", "70"))
        self.deviation = float(params.get("DEVIATION", "0.1"))  # percent under the VWAP
        self.qty = int(params.get("QTY", "2"))  # shares a time
        self.max_position = int(params.get("MAX_POSITION", "6"))
        self.indicators = {}  # symbol -> (Vwap, Rsi)
        print(f"starting with ${get_account().buying_power} to spend")

    def on_bar(self, bar):
        symbol, close = bar["symbol"], bar["close"]
        vwap, rsi = self.indicators.setdefault(symbol, (Vwap(), Rsi(self.rsi_period)))
        vwap.add(bar)
        rsi.add(close)
        if rsi.value is None or bar.get("history"):
            return
        print(f"{symbol}: close {close}, vwap {vwap.value:.2f}, rsi {rsi.value:.0f}")
        held = float(get_position(symbol).qty)
        is_cheap = close < vwap.value * (1 - self.deviation / 100) and rsi.value < self.rsi_low
        is_back = close >= vwap.value or rsi.value > self.rsi_high
        if is_cheap and held + self.qty <= self.max_position:
            self.trade(symbol, self.qty, "buy", f"rsi {rsi.value:.0f}, under the vwap")
        elif is_back and held > 0:
            self.trade(symbol, held, "sell", f"rsi {rsi.value:.0f}, back at the vwap")

    def trade(self, symbol, qty, side, reason):
        response = place_order(symbol, qty, side, reason=reason)
        print(f"{symbol}: {reason}; {side} {qty:g}: {response.status} {response.message}")


try:
    VwapMeanReversion().run()
except DeskUnavailable as error:
    print(error)
