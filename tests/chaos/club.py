"""The twenty strategies of the chaos run: names, tempers, symbols."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

BY_HAND = "IWM"  # the symbol in which the run itself trades past the desk


@dataclass(frozen=True, slots=True)
class Member:
    """One strategy."""

    name: str
    temper: str
    symbols: tuple[str, ...]
    pace_s: float = 0.8  # from one act to the next, in the mean


CLUB = (
    Member("ann", "market", ("SPY",)),
    Member("ben", "auditor", ("AAPL",)),
    Member("cat", "auditor", ("TSLA", "NVDA"), 0.6),
    Member("dan", "limit", ("KO", "BAC")),
    Member("eve", "limit", ("MSFT",)),
    Member("fay", "stops", ("TSLA",)),
    Member("gus", "canceler", ("BAC",)),
    Member("hal", "canceler", ("IBM",), 1.2),
    Member("ida", "replacer", ("KO",), 1.5),
    Member("jon", "brackets", ("NVDA", "QQQ"), 1.2),
    Member("kim", "brackets", ("BAC",), 1.5),
    Member("leo", "notional", ("AAPL",)),
    Member("mia", "fractions", ("MSFT", "SPY")),
    Member("ned", "repeater", ("QQQ",), 1.5),
    Member("olga", "flooder", ("KO",), 8.0),
    Member("pia", "crasher", ("IBM",)),
    Member("quin", "deaf", ("BAC",), 0.5),
    Member("rob", "leaver", (BY_HAND,)),
    Member("sue", "washer_buys", (BY_HAND,)),
    Member("tom", "washer_sells", (BY_HAND,)),
)


def write(folder: Path, seed: int, pace: float) -> None:
    """Put every strategy where the desk looks for it. *pace* above 1: they act less often."""
    for member in CLUB:
        home = folder / member.name
        home.mkdir(parents=True)
        shutil.copy(Path(__file__).parent / "trader.py", home / "strategy.py")
        config = {
            "symbols": list(member.symbols),
            "channels": ["trades", "orders"],
            "env": {
                "TEMPER": member.temper,
                "SEED": str(seed),
                "PACE_S": str(member.pace_s * pace),
                "SYMBOL": member.symbols[0],
            },
        }
        (home / "config.json").write_text(json.dumps(config))
