"""Desks that die at a named point, one after the other over one ledger, and the proofs that follow."""

import asyncio
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp

from deskd.domain import events as ev
from deskd.domain.order import OrderStatus
from deskd.ledger.codec import decode
from tests.hang import HANG_S
from tests.leftovers import sweep_up
from tests.whole.books import agree, replayed
from tests.whole.desk_process import ROOT, DeskProcess, a_desk_process
from tests.whole.exchange_process import KEYS, Exchange, exchange_command, keys_headers
from tests.whole.made_before import furnish

TRADES_AGAIN = 5  # fills of the healed desk, before it is stopped
_SIDE = """
    import json, sys
    from decimal import Decimal
    from desk_client import cancel_order, get_position, place_order, replace_order

    for line in sys.stdin:
        message = json.loads(line)
        if "price" not in message:
            continue  # of an order, or of a gap
        symbol, price = message["symbol"], message["price"]
        side = "sell" if Decimal(get_position(symbol).qty) > 0 else "buy"
"""
AT_MARKET = f"""{_SIDE}
        place_order(symbol, "1", side, timeout=2)
"""
LIMITED = f"""{_SIDE}
        limit = price * (1.01 if side == "buy" else 0.99)
        place_order(symbol, "20", side, "limit", limit_price=f"{{limit:.2f}}", timeout=2)
"""
CANCELS = f"""{_SIDE}
        answer = place_order(symbol, "1", "buy", "limit", limit_price=f"{{price * 0.97:.2f}}", timeout=2)
        if answer.order_id:
            other = replace_order(answer.order_id, limit_price=f"{{price * 0.98:.2f}}", timeout=2)
            cancel_order(other.order_id or answer.order_id)
"""
TRADERS = {"ann": (AT_MARKET, "SPY"), "ben": (LIMITED, "KO"), "cat": (CANCELS, "AAPL")}
SETTINGS = """
    doubt_check_s = 0.3
    doubt_settle_s = 1.0
    [risk.strategy]
    duplicate_window_s = 0
    orders_per_day_max = 100000
    orders_per_minute_max = 1000
    position_share_max = 1
    daily_loss_max = 10000
"""


@dataclass
class Story:
    """One folder, its ledger and its account: many lives of a desk, all but the last cut short."""

    folder: Path
    exchange_url: str = ""  # of an exchange that lives on; empty: the desk's own child, which dies with it
    deaths: int = 0
    healed: int = 0
    opening: list[ev.HouseAdjusted] = field(default_factory=list)  # what the house took when the ledger was new

    @property
    def state(self) -> Path:
        return self.folder / "var"

    @property
    def is_childs(self) -> bool:
        return not self.exchange_url

    @asynccontextmanager
    async def a_desk(self, *, is_jailed: bool = False) -> AsyncIterator[DeskProcess]:
        """Hand out a desk of this story, not yet started."""
        async with a_desk_process(self.folder) as desk:
            desk.program = "tests.whole.crashing_desk"
            broker = "" if self.is_childs else Exchange.broker_keys_of(self.exchange_url)
            exchange = '[exchange]\nspeed = 5.0\nfills = "immediate"' if self.is_childs else ""
            jail = f"[sandbox]\nunsafe_without_jail = {str(not is_jailed).lower()}"
            desk.configure(f"[broker]\n{broker}\n{SETTINGS}\n{exchange}\n{jail}")
            for name, (source, symbol) in TRADERS.items():
                desk.strategy(name, source, {"symbols": [symbol], "channels": ["trades", "bars", "orders"]})
            yield desk

    @asynccontextmanager
    async def misbehaving(self, fault: Mapping[str, Any] | None) -> AsyncIterator[None]:
        """Have the exchange do so while the context lasts."""
        if fault is None:
            yield
            return
        async with aiohttp.ClientSession(headers=keys_headers()) as session:
            exchange = Exchange(self.exchange_url, session)
            await exchange.misbehave(fault)
            yield
            await exchange.behave()

    async def dies(self, desk: DeskProcess, point: str, times: int, *, stops: bool = False) -> None:
        """Start the desk and see it die there, at that very crossing; *stops*: on its way to an orderly end."""
        self._arm(desk, f"{point}*{times}")
        await desk.start(ready=False)
        if stops:
            # Fills alone prove no run: what the exchange executed while no desk lived is caught up before any starts.
            await desk.hears("order_approved")
            await desk.hears("order_filled", 3)
            assert desk.process is not None
            desk.process.send_signal(signal.SIGTERM)
        try:
            code = await desk.dies()
        except TimeoutError:
            code = 0
        self.deaths += 1
        said = "\n".join(map(str, desk.log[-200:]))
        assert code == -signal.SIGKILL, f"it ended with {code}, not at {point}\n{said}"
        notes = (self.folder / "crashes").read_text().splitlines()
        assert notes[self.deaths - 1 :] == [point], f"it died at {notes[-1:]}, not at {point}\n{said}"
        await self._nothing_lives()
        self._the_ledger_knew_first()

    async def heals(self, desk: DeskProcess) -> None:
        """Start the desk once more; it trades, ends in order, and nothing was lost or doubled in all its lives."""
        self._arm(desk, "")
        await desk.start()
        await desk.hears("order_filled", TRADES_AGAIN)
        assert await desk.end() == 0, desk.log[-20:]
        await self._nothing_lives()
        self.healed += 1
        self._the_ledger_knew_first()
        agree(self.state)
        orders_agree(self.state)
        self._nothing_was_left_to_the_house()

    def _arm(self, desk: DeskProcess, crash: str) -> None:
        notes = {"CRASH_NOTE": str(self.folder / "crashes"), "SENT_NOTE": str(self.folder / "sent")}
        desk.environment = ({} if self.is_childs else KEYS) | notes | {"CRASH_AT": crash}

    async def _nothing_lives(self) -> None:
        """Return when no exchange of a desk, no jail and no strategy is left of it."""
        desk = DeskProcess(self.folder)
        async with asyncio.timeout(HANG_S):
            while [command for command in desk.processes() if "deskd exchange" not in command]:  # noqa: ASYNC110  as all_gone
                await asyncio.sleep(0.02)

    def _the_ledger_knew_first(self) -> None:
        """Assert that no order was sent twice, or before its approval was on disk, and that the exchange has no other."""
        sent = (self.folder / "sent").read_text().split() if (self.folder / "sent").exists() else []
        assert len(set(sent)) == len(sent), "an order was sent twice"
        with (
            tempfile.TemporaryDirectory() as aside
        ):  # so that it is the desk, and not we, that finds the log of a crash
            for file in self.state.glob("*.db*"):
                shutil.copy(file, aside)
            theirs = [str(order["client_order_id"]) for order in the_exchanges_orders(Path(aside) / "exchange.db")]
            ours = approved(Path(aside) / "desk.db")
        assert len(set(theirs)) == len(theirs), "the exchange has an order twice"
        assert set(sent) <= ours, "an order was sent before the ledger knew it"
        assert set(theirs) <= set(sent), "the exchange has an order that nobody sent"

    def _nothing_was_left_to_the_house(self) -> None:
        facts = list(all_facts(self.state / "desk.db"))
        taken = [fact for fact in facts if isinstance(fact, ev.HouseAdjusted)]
        self.opening = self.opening or taken[:1]
        assert taken == self.opening, "the house took more than the opening balance"
        found = [fact for fact in facts if isinstance(fact, ev.DiscrepancyFound)]
        assert found == []


def all_facts(path: Path) -> Iterator[ev.Fact]:
    """Yield the ledger's facts."""
    with closing(sqlite3.connect(path)) as db:
        for kind, body in db.execute("SELECT kind, body FROM facts ORDER BY seq"):
            yield decode(kind, body)


def approved(path: Path) -> set[str]:
    """Return the client_order_ids that the ledger has approved; none where there is no ledger yet."""
    with closing(sqlite3.connect(path)) as db:
        if not db.execute("SELECT 1 FROM sqlite_schema WHERE name = 'facts'").fetchone():
            return set()
    return {fact.request.client_order_id for fact in all_facts(path) if isinstance(fact, ev.OrderApproved)}


def the_exchanges_orders(path: Path) -> list[dict[str, Any]]:
    """Return the exchange's orders as it keeps them; none where it has no account yet."""
    with closing(sqlite3.connect(path)) as db:
        if not db.execute("SELECT 1 FROM sqlite_schema WHERE name = 'orders'").fetchone():
            return []
        return [json.loads(body) for (body,) in db.execute("SELECT body FROM orders")]


def orders_agree(state: Path) -> None:
    """Assert that ledger and exchange have the same orders, with the same fate."""
    theirs = {order["client_order_id"]: order for order in the_exchanges_orders(state / "exchange.db")}
    desk = replayed(state / "desk.db")
    for oid, order in desk.orders.items():
        if order.broker_order_id is None:
            assert order.status in {OrderStatus.DENIED, OrderStatus.REJECTED}, f"{oid}: {order.status}, and not there"
            continue
        there = theirs[oid]
        assert there["id"] == order.broker_order_id
        assert order.filled_qty == Decimal(there["filled_qty"]), oid
        assert str(order.status) == there["status"], oid
    assert theirs.keys() <= desk.orders.keys()
    assert desk.open_ids == {}
    assert desk.reservations.by_order == {}


@contextmanager
def a_story(*, lives_on: bool) -> Iterator[Story]:
    """Make a folder, and the exchange where it *lives_on* when its desk dies."""
    folder = Path(tempfile.mkdtemp(prefix="deskd-whole-", dir="/tmp"))
    folder.chmod(0o711)
    furnish(folder / "var")
    process = None
    url = ""
    try:
        if lives_on:
            command = exchange_command(folder / "var" / "exchange.db", fills="paper")
            process = subprocess.Popen(
                command, cwd=ROOT, env=os.environ | KEYS, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            )
            assert process.stdout is not None
            url = json.loads(process.stdout.readline())["url"]
        yield Story(folder, url)
    finally:
        if process is not None:
            process.kill()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()
        sweep_up(folder / "var")
        shutil.rmtree(folder)
