"""What a running desk prints with --json is what docs/reference/json.md says."""

import json
from pathlib import Path

import pytest

from deskd.cli.outputs import OUTPUTS
from tests.cli.in_process import ctl
from tests.cli.test_outputs import misfits
from tests.whole.desk_process import a_desk_process

pytestmark = [pytest.mark.needs_nsjail, pytest.mark.usefixtures("needs_jail")]

BUYER = """
import sys, time
from desk_client import place_order
while place_order("AAPL", "3", "buy").status != "success":  # no quote yet
    time.sleep(0.2)
print(place_order("AAPL", "1", "sell", "limit", limit_price="9999").status)
print(place_order("ZZZZ", "1", "buy").status)
for line in sys.stdin:
    pass
"""
# In this order, while the desk runs. What may find nothing, or no order of a certain fate, is not among them.
LOOKS = (
    "status",
    "status ann",
    "logs ann",
    "orders",
    "orders --open",
    "fills",
    "positions",
    "account",
    "events",
    "runs",
    "top",
    "outages",
    "versions ann",
    "jobs",
    "jobs run report",
    "report",
    "report --list",
    "reconcile",
    "kill --strategy ann --reduce-only --reason test",
    "kill --cancel --reason test",
    "status",
    "release --reason test",
    "stop ann",
    "runs ann --last",
    "status ann",
    "start ann",
    "notify list",
    "config reload --dry-run",
    "config show",
    "doctor",
    "jail test",
    "audit sign",
    "audit roots",
    "audit verify",
    "backup {folder}/copy.db",
    "handover {folder}/bundle",
)


async def test_every_look_at_a_running_desk_is_as_documented(folder: Path) -> None:
    """Fields, types, words and decimals, of a desk that has traded on the embedded exchange."""
    async with a_desk_process(folder) as desk:
        desk.configure("""
            [exchange]
            speed = 5.0
            fills = "immediate"
            [risk.desk]
            orders_wait_for_open = true
            symbols_denied = ["ZZZZ"]
        """)
        desk.strategy("ann", BUYER, {"symbols": ["AAPL"]})
        await desk.start()
        await desk.hears("order_filled")
        await desk.hears("order_denied")
        config = folder / "etc" / "desk.toml"
        found = {}
        for words in LOOKS:
            arguments = words.format(folder=folder).split()
            said = await ctl(config, *arguments, "--json")
            command = max((name for name in OUTPUTS if words.split()[: len(name.split())] == name.split()), key=len)
            if said.code != 0 and command != "doctor":  # it judges the machine that tests
                found[words] = [str(said)]
            elif wrong := list(misfits(command, said)):
                found[words] = wrong
        assert found == {}
        for order in json.loads((await ctl(config, "orders", "--json")).out):
            said = await ctl(config, "why", order["client_order_id"], "--json")
            assert (said.code, list(misfits("why", said))) == (0, []), said
        assert await desk.end() == 0
