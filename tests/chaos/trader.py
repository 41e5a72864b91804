"""One strategy of the chaos run, of the temper that its environment names. It runs in a jail, and keeps what it was told.

Rule 1: what it decides comes from the seed, its name and the number of its run; what it sees of the market does not.
Rule 2: it writes each question before it asks and each answer as it got it to /state/said.jsonl: the end of the chaos
        run compares them with the ledger. What is newer than the desk's last save is lost with a desk that is killed,
        the count of runs too: so each run's name has something that no other has, and its orders' ids have it.
"""

import json
import os
import random
import signal
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import desk_client
from desk_client import (
    DeskError,
    OrderResponse,
    cancel_order,
    get_account,
    get_order,
    get_position,
    list_orders,
    replace_order,
)

STATE = Path(os.environ.get("CHAOS_STATE", "/state"))
KEPT_IDS = 50  # of its newest orders: what it cancels, replaces and sends again


class Diary:
    """What was asked, answered and told, a JSON line each."""

    def __init__(self) -> None:
        count = STATE / "runs"
        self.number = int(count.read_text() or "0") + 1 if count.exists() else 1
        self.run = f"{self.number}.{os.urandom(5).hex()}"
        fresh = STATE / "runs.new"
        fresh.write_text(str(self.number))
        fresh.replace(count)
        self._file = (STATE / "said.jsonl").open("a", buffering=1)
        self._file.write("\n")  # the run before may have been killed in the middle of a line

    def write(self, what: str, **said: object) -> None:
        at = datetime.fromtimestamp(time.time(), UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")  # noqa: TID251  as facts have it
        self._file.write(json.dumps({"what": what, "run": self.run, "at": at} | said) + "\n")


class Trader:
    """One run."""

    def __init__(self) -> None:
        self.name = os.environ["STRATEGY_ID"]
        self.temper = os.environ["TEMPER"]
        self.pace_s = float(os.environ["PACE_S"])
        self.diary = Diary()
        self.random = random.Random(f"{os.environ['SEED']} {self.name} {self.diary.number}")
        self.holds: dict[str, float] = {}
        self.ids: list[str] = []
        self.asked: dict[str, dict[str, Any]] = {}
        self.count = 0
        self.next_at = 0.0

    # --- what every temper does --------------------------------------------------------------------------------------

    def place(self, symbol: str, qty: object, side: str, order_type: str = "market", **more: Any) -> str:
        """Ask for an order under a new id; return the id."""
        oid = self.new_id()
        self.ask(oid, {"symbol": symbol, "qty": qty, "side": side, "order_type": order_type} | more)
        return oid

    def new_id(self) -> str:
        self.count += 1
        return f"{self.name}-{self.diary.run}-{self.count}"

    def ask(self, oid: str, order: dict[str, Any]) -> None:
        self.diary.write("asked", id=oid)
        self.ids = [*self.ids, oid][-KEPT_IDS:]
        self.asked[oid] = order
        try:
            answer = desk_client.place_order(
                **order, client_order_id=oid, timeout=self.random.choice((0.05, 2.0, 5.0, 10.0))
            )
        except DeskError as error:
            self.diary.write("no_answer", id=oid, reason=error.reason)
            time.sleep(0.2)
            return
        self.answered(oid, answer)

    def replace(self, old: str, change: dict[str, Any]) -> str:
        """Put a new order in the place of *old*; return the new one's id."""
        oid = self.new_id()
        self.diary.write("asked", id=oid, replaces=old)
        try:
            answer = replace_order(old, **change, client_order_id=oid, timeout=self.random.choice((0.05, 2.0, 5.0)))
        except DeskError as error:
            self.diary.write("no_answer", id=oid, reason=error.reason)
            time.sleep(0.2)
        else:
            self.answered(oid, answer)
            self.ids = [*self.ids, oid][-KEPT_IDS:]
        return oid

    def answered(self, oid: str, answer: OrderResponse) -> None:
        self.diary.write("answer", id=oid, **answer._asdict())

    def cancel(self, oid: str) -> None:
        try:
            self.answered_about(oid, "cancel", cancel_order(oid))
        except DeskError as error:
            self.diary.write("no_answer", id=oid, reason=error.reason)

    def answered_about(self, oid: str, what: str, answer: OrderResponse) -> None:
        self.diary.write(what, id=oid, status=answer.status, reason=answer.reason, order_status=answer.order_status)

    def look(self, oid: str, symbol: str) -> None:
        """Ask what became of an order, and what is held."""
        try:
            order = get_order(oid)
            self.diary.write("order_seen", id=oid, status=order.status, filled_qty=order.filled_qty)
            self.holds[symbol] = float(self.position(symbol))
            self.diary.write("orders_seen", ids=[one.client_order_id for one in list_orders()])
            account = get_account()
            self.diary.write("account_seen", cash=account.cash, reserved=account.reserved)
        except DeskError as error:
            self.diary.write("not_seen", id=oid, reason=error.reason)

    def position(self, symbol: str) -> str:
        qty = get_position(symbol).qty
        self.diary.write("position_seen", symbol=symbol, qty=qty)
        return qty

    def on_line(self, message: dict[str, Any]) -> None:
        if message["type"] == "order":
            self.diary.write("line", **{key: value for key, value in message.items() if key != "type"})
            self.holds[message["symbol"]] = float(message["position_qty"])
        elif "price" in message and time.monotonic() >= self.next_at:
            self.next_at = time.monotonic() + self.random.expovariate(1 / self.pace_s)
            self.act(message["symbol"], float(message["price"]))

    def act(self, symbol: str, price: float) -> None:
        try:
            getattr(self, self.temper)(symbol, price)
        except DeskError as error:  # a question without an answer: the desk is away
            self.diary.write("not_seen", id="", reason=error.reason)
            time.sleep(0.2)

    def whole(self, symbol: str) -> int:
        return int(self.holds.get(symbol, 0))

    def side(self, symbol: str) -> str:
        return "sell" if self.whole(symbol) > 0 and self.random.random() < 0.6 else "buy"

    def near(self, price: float, spread: float = 0.002) -> str:
        return f"{price * (1 + self.random.uniform(-spread, spread)):.2f}"

    # --- the tempers -------------------------------------------------------------------------------------------------

    def market(self, symbol: str, price: float) -> None:
        side = self.side(symbol)
        self.place(symbol, min(self.random.randint(1, 5), max(self.whole(symbol), 1)), side)

    def limit(self, symbol: str, price: float) -> None:
        if self.ids and self.random.random() < 0.3:
            self.cancel(self.random.choice(self.ids))
            return
        side, tif = self.side(symbol), self.random.choice(("day", "gtc", "ioc", "fok", "day"))
        self.place(symbol, self.random.randint(1, 4), side, "limit", time_in_force=tif, limit_price=self.near(price))

    def stops(self, symbol: str, price: float) -> None:
        kind = self.random.choice(("stop", "stop_limit", "trailing_stop", "market"))
        held = self.whole(symbol)
        side = "sell" if held > 0 else "buy"
        stop = f"{price * (0.9995 if side == 'sell' else 1.0005):.2f}"
        more: dict[str, Any] = {}
        if kind in {"stop", "stop_limit"}:
            more["stop_price"] = stop
        if kind == "stop_limit":
            more["limit_price"] = self.near(price)
        if kind == "trailing_stop":
            more["trail_price"] = "0.05"
        self.place(symbol, min(max(held, 1), 3), side, kind, **more)
        if len(self.ids) > 5 and self.random.random() < 0.4:
            self.cancel(self.ids[-5])

    def canceler(self, symbol: str, price: float) -> None:
        far = f"{price * self.random.choice((0.97, 0.999, 1.0)):.2f}"
        oid = self.place(symbol, self.random.randint(1, 3), "buy", "limit", time_in_force="gtc", limit_price=far)
        for _ in range(self.random.choice((1, 1, 1, 2))):
            self.cancel(oid)
        if self.random.random() < 0.2:
            self.cancel(self.random.choice(self.ids))  # mostly one that has ended
        if self.whole(symbol) > 0:
            self.place(symbol, self.whole(symbol), "sell")

    def replacer(self, symbol: str, price: float) -> None:
        oid = self.place(symbol, self.random.randint(2, 4), "buy", "limit", limit_price=self.near(price))
        for _ in range(self.random.randint(1, 3)):
            change = self.random.choice(({"qty": 1}, {"qty": 5}, {"limit_price": self.near(price)}))
            oid = self.replace(self.random.choice((oid, oid, oid, self.random.choice(self.ids))), change)
            if self.random.random() < 0.2:
                self.cancel(oid)
        if self.whole(symbol) > 0:
            self.place(symbol, self.whole(symbol), "sell", "limit", limit_price=self.near(price, 0.0005))

    def brackets(self, symbol: str, price: float) -> None:
        shape, held = self.random.random(), self.whole(symbol)
        above, below = f"{price * 1.001:.2f}", f"{price * 0.999:.2f}"
        if shape < 0.5:
            entry = self.random.choice(("market", "limit"))
            more = {"limit_price": self.near(price, 0.0005)} if entry == "limit" else {}
            oid = self.place(symbol, 3, "buy", entry, take_profit=above, stop_loss=below, **more)
            if self.random.random() < 0.2:
                self.cancel(oid)
        elif shape < 0.7:
            leg = self.random.choice(({"take_profit": above}, {"stop_loss": below}))
            self.place(symbol, 2, "buy", **leg)
        elif held > 0:
            self.place(symbol, min(held, 3), "sell")
        else:
            self.place(symbol, 2, "buy")

    def notional(self, symbol: str, price: float) -> None:
        held = self.position(symbol)
        if float(held) > 0 and self.random.random() < 0.4:
            self.place(symbol, held, "sell")
        else:
            self.place(symbol, None, "buy", notional=f"{self.random.uniform(1, 300):.2f}")

    def fractions(self, symbol: str, price: float) -> None:
        qty, held = f"{self.random.uniform(0.001, 2.5):.6f}", float(self.position(symbol))
        if held >= float(qty):
            self.place(symbol, qty, "sell")
        elif self.random.random() < 0.5:
            self.place(symbol, qty, "buy")
        else:
            self.place(symbol, qty, "buy", "limit", limit_price=self.near(price))

    def repeater(self, symbol: str, price: float) -> None:
        """Send an id again: with the same content nothing may happen twice, with other content nothing at all."""
        oid = self.place(symbol, self.random.randint(1, 3), self.side(symbol))
        for _ in range(self.random.randint(1, 3)):
            again = self.random.choice((oid, oid, self.random.choice(self.ids)))
            self.ask(again, self.asked[again])
            if self.random.random() < 0.4:
                self.ask(again, self.asked[again] | {"qty": 7})

    def flooder(self, symbol: str, price: float) -> None:
        for _ in range(40):
            self.place(symbol, 1, self.random.choice(("buy", "sell", "hold")), self.random.choice(("market", "limit")))

    def crasher(self, symbol: str, price: float) -> None:
        self.market(symbol, price)
        match self.random.randint(1, 40):
            case 1:
                raise RuntimeError("a member's mistake")
            case 2:
                os.kill(os.getpid(), signal.SIGSEGV)
            case 3:
                os._exit(3)
            case _:
                pass

    def leaver(self, symbol: str, price: float) -> None:
        self.market(symbol, price)
        if self.count >= 15:
            sys.exit(0)

    def washer_buys(self, symbol: str, price: float) -> None:
        self.place(symbol, 1, "buy", "limit", time_in_force="gtc", limit_price=f"{price * 0.9998:.2f}")
        if len(self.ids) > 3:
            self.cancel(self.ids[-3])
        if self.whole(symbol) > 3:
            self.place(symbol, self.whole(symbol), "sell")

    def washer_sells(self, symbol: str, price: float) -> None:
        if self.whole(symbol) > 0:
            self.place(symbol, 1, "sell", self.random.choice(("market", "limit")), limit_price=None)
        self.place(symbol, 2, "buy", "limit", limit_price=f"{price * 1.0005:.2f}")

    def auditor(self, symbol: str, price: float) -> None:
        oid = self.place(symbol, min(self.random.randint(1, 4), max(self.whole(symbol), 1)), self.side(symbol))
        self.look(oid, symbol)

    def deaf(self, symbol: str, price: float) -> None:
        self.place(symbol, 1, self.random.choice(("buy", "sell")))


def main() -> None:
    trader = Trader()
    if trader.temper == "deaf":  # never reads: its lines pile up until the desk ends it
        while True:
            time.sleep(trader.random.expovariate(1 / trader.pace_s))
            trader.act(os.environ["SYMBOL"], 0.0)
    for line in sys.stdin:
        trader.on_line(json.loads(line))


if __name__ == "__main__":
    main()
