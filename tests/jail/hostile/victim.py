"""The neighbour: counts every line, misses none, trades when the tape says 777, and says how late it was served.

Late at worst since it last said so: a line after the market's stamp, and the answer to its order.
"""

import json
import sys
import time
from datetime import UTC, datetime

from desk_client import place_order

last, late_s = 0, 0.0
for line in sys.stdin:
    trade = json.loads(line)
    late_s = max(late_s, (datetime.now(UTC) - datetime.fromisoformat(trade["timestamp"])).total_seconds())
    number = int(trade["size"])
    if last and number != last + 1:
        print(f"GAP {last} {number}", flush=True)
    last = number
    if trade["price"] == 777:
        while True:
            began = time.monotonic()
            if (answer := place_order("SPY", 1, "buy")).reason != "RATE":
                break
            time.sleep(0.1)  # asked of it too often at once, after a stall
        if answer.status != "success":
            print(f"REFUSED {answer}", flush=True)
        print(f"LATE {late_s:.3f} {time.monotonic() - began:.3f}", flush=True)
        late_s = 0.0
