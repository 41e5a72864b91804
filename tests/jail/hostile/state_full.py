import os
from tries import outcome, report

written = 0


def fill():
    global written
    for number in range(64):
        with open(f"/state/big{number}", "wb", buffering=0) as file:
            for _ in range(4):
                written += file.write(bytes(1 << 20))


got = outcome(fill)
report(state=got, at_most_16_mb=written <= 16 << 20)
