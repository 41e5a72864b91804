"""The neighbour: counts every line, misses none, and trades when the tape says 777."""

import json
import sys

from desk_client import place_order

last = 0
for line in sys.stdin:
    trade = json.loads(line)
    number = int(trade["size"])
    if last and number != last + 1:
        print(f"GAP {last} {number}", flush=True)
    last = number
    if trade["price"] == 777:
        answer = place_order("SPY", 1, "buy")
        if answer.status != "success":
            print(f"REFUSED {answer}", flush=True)
