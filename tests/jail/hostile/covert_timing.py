"""Two jails that want to: in turns, one works or rests for a moment, and the other times its own work meanwhile."""

import os
import sys
import time

from tries import report

SLOT_S, BITS = 0.025, 64
is_first = os.environ["STRATEGY_ID"].endswith("first")
secret = [byte & 1 for byte in os.urandom(BITS)]
began = (time.monotonic() // 2 + 1) * 2 + 1  # jails share the machine's clock
heard = []
room = bytearray(4 << 20)


def work_until(end):
    rounds = 0
    while time.monotonic() < end:
        for place in range(0, len(room), 4096):
            room[place] ^= 1
        rounds += 1
    return rounds


for slot in range(2 * BITS):
    start = began + slot * SLOT_S
    time.sleep(max(0.0, start - time.monotonic()))
    if (slot % 2 == 0) == is_first:
        if secret[slot // 2]:
            work_until(start + SLOT_S)
    else:
        heard.append(work_until(start + SLOT_S))
report(secret=secret, heard=heard)
print("HOLDING", flush=True)
sys.stdin.read()
