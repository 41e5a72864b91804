"""The neighbour: counts every line, misses none, and trades when the tape says 777."""

import json
import sys
import time

from desk_client import place_order

last = 0
for line in sys.stdin:
    trade = json.loads(line)
    number = int(trade["size"])
    if last and number != last + 1:
        print(f"GAP {last} {number}", flush=True)
    last = number
    if trade["price"] == 777:
        while (answer := place_order("SPY", 1, "buy")).reason == "RATE":  # asked of it too often at once, after a stall
            time.sleep(0.1)
        if answer.status != "success":
            print(f"REFUSED {answer}", flush=True)
