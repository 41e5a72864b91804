"""`deskctl backtest`: a strategy in its jail, in step with the tape; the same result every time, on any machine."""

import csv
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from tests.cli.in_process import Said
from tests.cli.test_outputs import misfits
from tests.hang import HANG_S
from tests.venue.serving import OPEN
from tests.whole.desk_process import ROOT

pytestmark = [pytest.mark.needs_nsjail, pytest.mark.usefixtures("needs_jail")]

# Buys what fell and sells what rose, a share at a time, and tells what it hears of its orders.
TRADES = """
    import json, random, sys, time
    from desk_client import cancel_order, get_position, place_order
    last = None
    for line in sys.stdin:
        message = json.loads(line)
        {pause}
        if message["type"] == "order":
            print(message["event"], message["timestamp"], message["position_qty"])
            continue
        if message["type"] != "quote":
            continue
        price = message["price"]
        if last is not None and price < last:
            place_order("AAPL", 1, "buy", reason="it fell")
        elif last is not None and price > last and get_position("AAPL").qty > "0":
            place_order("AAPL", 1, "sell", order_type="limit", limit_price=message["bid"])
        last = price
"""
FAST = TRADES.format(pause="pass")
SLOW = TRADES.format(pause="time.sleep(random.random() / 200)")


HALF_DAY_CLOSES = datetime(2025, 11, 28, 18, tzinfo=UTC)  # the day after Thanksgiving: at 13:00 in New York


def write_waves(folder: Path, *, minutes: int = 12, begin: datetime = OPEN) -> Path:
    """Write quotes that go up and down, one each 20 seconds, and trades at their middle."""
    folder.mkdir()
    with (folder / "quotes.csv").open("w") as quotes, (folder / "trades.csv").open("w") as trades:
        quote_rows, trade_rows = csv.writer(quotes), csv.writer(trades)
        quote_rows.writerow(["t", "S", "bx", "bp", "bs", "ax", "ap", "as", "c", "z"])
        trade_rows.writerow(["t", "S", "i", "x", "p", "s", "c", "z"])
        for number in range(minutes * 3):
            at = f"{begin + timedelta(seconds=20 * number):%Y-%m-%dT%H:%M:%S}Z"
            bid = 100 + (number % 7) * (0.05 if number % 2 else -0.05)
            quote_rows.writerow([at, "AAPL", "Q", f"{bid:.2f}", 100, "Q", f"{bid + 0.02:.2f}", 100, "R", "C"])
            trade_rows.writerow([at, "AAPL", number + 1, "Q", f"{bid + 0.01:.2f}", 100, "@", "C"])
    return folder


@dataclass
class Bench:
    """A folder with a configuration, a tape and strategies."""

    folder: Path

    def strategy(self, name: str, source: str, config: Mapping[str, object] | None = None) -> Path:
        place = self.folder / name / "ann"
        place.mkdir(parents=True)
        (place / "strategy.py").write_text(dedent(source))
        (place / "config.json").write_text(
            json.dumps({"symbols": ["AAPL"], "channels": ["quotes", "bars", "orders"], **(config or {})})
        )
        return place

    def started(self, *arguments: object) -> "subprocess.Popen[str]":
        config = str(self.folder / "desk.toml")
        return subprocess.Popen(
            [sys.executable, "-m", "deskd.cli.deskctl", "--config", config, *map(str, arguments)],
            cwd=ROOT,
            env=os.environ | {"TMPDIR": str(self.folder / "tmp")},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def deskctl(self, *arguments: object) -> tuple[int, str, str]:
        process = self.started(*arguments)
        out, err = process.communicate(timeout=240)
        return process.returncode, out, err

    def backtest(self, place: Path, *more: object) -> dict[str, Any]:
        code, out, err = self.deskctl("backtest", place, "--tape", self.folder / "tape", "--json", *more)
        assert code == 0, out + err
        assert list(misfits("backtest", Said(code, out, err))) == []
        told: dict[str, Any] = json.loads(out)
        return told

    def left(self) -> list[str]:
        return [path.name for path in (self.folder / "tmp").iterdir()]


@pytest.fixture
def bench(folder: Path) -> Bench:
    (folder / "tmp").mkdir(mode=0o711)
    (folder / "desk.toml").write_text('[desk]\nstate_dir = "real"\n[risk.strategy]\nduplicate_window_s = 0\n')
    write_waves(folder / "tape")
    return Bench(folder)


def test_the_same_backtest_gives_the_same_bytes_however_slow_the_strategy_is(bench: Bench) -> None:
    """Every file of it; only the code's own hash tells which of two programs ran."""
    fast, slow = bench.strategy("fast", FAST), bench.strategy("slow", SLOW)
    tape = ("--tape", bench.folder / "tape")
    for name, place in (("one", fast), ("two", fast), ("three", slow)):
        code, out, err = bench.deskctl("backtest", place, *tape, "--out", bench.folder / name)
        assert code == 0, out + err
    one, two, three = [
        {file.name: file.read_text() for file in sorted((bench.folder / name).iterdir())}
        for name in ("one", "two", "three")
    ]
    assert one == two
    assert set(one) == {
        *("report.html", "report.json", "trips.csv", "orders.csv", "fills.csv", "denials.csv", "equity.csv")
    }
    for name in ("trips.csv", "orders.csv", "fills.csv", "denials.csv", "equity.csv"):
        assert one[name] == three[name]
    first, last = json.loads(one["report.json"]), json.loads(three["report.json"])
    assert first.pop("code_hash") != last.pop("code_hash")
    assert first == last
    assert first["metrics"]["fills"] > 5
    assert first["is_whole"]
    assert bench.left() == []
    assert not (bench.folder / "real").exists()


def test_an_order_is_handled_at_the_markets_time_of_its_line(bench: Bench) -> None:
    """It is stamped by the line that caused it, and fills when the exchange's model says, at the quote of then."""
    told = bench.backtest(bench.strategy("fast", FAST), "--fills", "paper", "--seed", "3")
    assert told["orders"]
    stamps = {OPEN + timedelta(seconds=20 * number) for number in range(36)}
    fills: dict[int, dict[str, str]] = {}
    for fill in told["fills"]:
        fills.setdefault(fill["order"], fill)
    for order in told["orders"]:
        at = datetime.fromisoformat(order["at"])
        line = max(stamp for stamp in stamps if stamp <= at)
        assert at - line < timedelta(milliseconds=1), order
        if order["order_type"] == "market" and order["order"] in fills:
            filled_at = datetime.fromisoformat(fills[order["order"]]["at"])
            assert timedelta(milliseconds=149) < filled_at - at < timedelta(milliseconds=151)
    assert told["exit_detail"].startswith("the tape has ended")
    curve = told["curve"]
    assert len(curve) > 12


def test_the_figures_follow_from_the_fills(bench: Bench) -> None:
    """Cash and positions at the end are what the fills make of the allocation."""
    told = bench.backtest(bench.strategy("fast", FAST), "--cash", "5000", "--fills", "immediate")
    cash = 5000.0
    for fill in told["fills"]:
        cash += (-1 if fill["side"] == "buy" else 1) * float(fill["qty"]) * float(fill["price"])
    assert float(told["curve"][-1]["cash"]) == pytest.approx(cash)
    metrics = told["metrics"]
    assert float(metrics["pnl"]) == pytest.approx(float(told["curve"][-1]["equity"]) - 5000)
    assert metrics["fills"] == len(told["fills"])
    assert metrics["trips"] == sum(trip["closed_at"] is not None for trip in told["trips"])


def test_the_desks_own_rules_hold(bench: Bench) -> None:
    """Limits deny, and exits close what has lost too much, as on the live desk."""
    source = """
        import json, sys
        from desk_client import place_order
        done = False
        for line in sys.stdin:
            message = json.loads(line)
            if message["type"] == "quote" and not done:
                done = True
                print(place_order("AAPL", 10, "buy").status)
                print(place_order("AAPL", 900, "buy").reason)
    """
    place = bench.strategy("held", source, {"exits": {"stop_loss_pct": 0.1}})
    told = bench.backtest(place, "--fills", "immediate")
    assert [line["count"] for line in told["denials"]] == [1]
    assert [order["side"] for order in told["orders"]] == ["buy", "sell"]
    assert told["trips"][0]["closed_at"] is not None


def test_a_half_day_ends_for_the_desk_when_it_ends_for_the_exchange(bench: Bench) -> None:
    """What is held is closed ten minutes before 13:00, nothing opens from then on, and the closing auction's door is shut."""
    source = """
        import json, sys
        from desk_client import place_order
        count = 0
        for line in sys.stdin:
            message = json.loads(line)
            if message["type"] != "quote":
                continue
            count += 1
            if count == 1:
                place_order("AAPL", 10, "buy")
            minute = message["timestamp"][11:16]
            if message["timestamp"][17:19] == "00" and minute in ("17:45", "17:49", "17:51", "18:01"):
                place_order("AAPL", 1, "buy", time_in_force="cls")
    """
    place = bench.strategy("half", source, {"schedule": {"flatten_before_close_min": 10}})
    begin = HALF_DAY_CLOSES - timedelta(minutes=20)
    write_waves(bench.folder / "half_day", minutes=25, begin=begin)
    code, out, err = bench.deskctl(
        "backtest", place, "--tape", bench.folder / "half_day", "--json", "--fills", "immediate"
    )
    assert code == 0, out + err
    told = json.loads(out)
    sold = [fill for fill in told["fills"] if fill["side"] == "sell"]
    assert sum(float(fill["qty"]) for fill in sold) == 10
    latest = HALF_DAY_CLOSES - timedelta(minutes=10)
    assert all(latest <= datetime.fromisoformat(f["at"]) < latest + timedelta(seconds=30) for f in sold), sold
    assert {line["reason"]: line["count"] for line in told["denials"]} == {"AUCTION_WINDOW": 1, "CLOSING_SOON": 1}
    auctions = [order for order in told["orders"] if order["time_in_force"] == "cls"]
    assert [order["status"] for order in auctions] == ["canceled", "canceled"]  # they would open what is to be flat


def test_warm_up_and_questions_see_nothing_of_the_future(bench: Bench) -> None:
    """History, bars and clock stand at the market's time."""
    source = """
        import json, sys
        from desk_client import get_bars, get_clock
        for line in sys.stdin:
            message = json.loads(line)
            if message["type"] == "bar":
                bars = get_bars("AAPL", "1Min", 5)
                clock = get_clock().timestamp
                assert all(bar.timestamp < clock for bar in bars)
                print("at", message["timestamp"], message.get("history", False), bars[-1].timestamp if bars else None)
    """
    place = bench.strategy("looks", source, {"channels": ["bars"], "history": {"bars": 3, "timeframe": "1Min"}})
    code, out, err = bench.deskctl("backtest", place, "--tape", bench.folder / "tape", "--start", "09:35")
    assert code == 0, out + err
    lines = [line for line in err.splitlines() if line.startswith("| at")]
    assert [("True" in line) for line in lines[:4]] == [True, True, True, False], err
    live = [line.split() for line in lines[3:]]
    assert all(stamp == newest for _, _, stamp, _, newest in live), live


def test_a_strategy_that_fails_or_does_not_read_is_told(bench: Bench) -> None:
    """With what it did until then; exit code 1."""
    (bench.folder / "desk.toml").write_text("[sandbox]\nstalled_after_s = 1.0\nstalled_end_after_s = 1.0\n")
    tape = ("--tape", bench.folder / "tape")
    code, out, _ = bench.deskctl("backtest", bench.strategy("dies", "import sys\nnext(sys.stdin)\n1 / 0\n"), *tape)
    assert code == 1
    assert "run ended as error" in out
    assert "NOT the whole tape" in out
    deaf = bench.strategy("deaf", "import os\nwhile os.read(0, 100): pass\n")
    code, out, _ = bench.deskctl("backtest", deaf, *tape)
    assert code == 1
    assert "run ended as stalled" in out
    assert bench.left() == []


def test_ctrl_c_ends_it_and_tells_what_there_is(bench: Bench) -> None:
    """Nothing is left of it."""
    place = bench.strategy("slow", "import sys, time\nfor line in sys.stdin:\n    print('read')\n    time.sleep(0.5)\n")
    process = bench.started("backtest", place, "--tape", bench.folder / "tape")
    assert process.stderr is not None
    for line in process.stderr:
        if line == "| read\n":
            break
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=HANG_S)
    assert process.returncode == 1
    assert "the backtest was ended before its tape was" in out
    assert bench.left() == []


def test_a_recorded_market_gives_the_same_result_twice(bench: Bench, ticks: Path) -> None:
    """An hour of real prints and quotes, and the example that follows the trend: every byte."""
    place = bench.folder / "momentum"
    place.mkdir()
    (place / "strategy.py").write_text((ROOT / "strategies" / "momentum" / "strategy.py").read_text())
    config = {"symbols": ["IBM"], "channels": ["bars"], "history": {"bars": 20, "timeframe": "1Min"}}
    (place / "config.json").write_text(json.dumps({**config, "env": {"LOOKBACK": "3", "THRESHOLD": "0.02"}}))
    tape = [word for kind in ("quotes", "trades") for word in ("--tape", ticks / f"{kind}_IBM_20131008.csv.gz")]
    told = []
    for _ in range(2):
        code, out, err = bench.deskctl("backtest", place, *tape, "--start", "15:00", "--json", "--quiet")
        assert code == 0, out + err
        told.append(out)
    assert told[0] == told[1]
    result = json.loads(told[0])
    assert result["days"] == ["2013-10-08"]
    assert result["metrics"]["fills"] > 4
    assert sum(fill["symbol"] != "IBM" for fill in result["fills"]) == 0
