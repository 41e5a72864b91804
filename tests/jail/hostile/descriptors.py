import os
from tries import outcome, report, until_stopped

kept = []


def fill():
    while True:
        kept.append(os.open("/dev/null", os.O_RDONLY))


got = outcome(fill)
pids = 0
for _ in range(8):
    if os.fork() == 0:
        while True:
            try:
                kept += os.pipe()
            except OSError:
                break
        while True:
            os.read(0, 65536) or os._exit(0)
    pids += 1
report(open=got, count=len(kept))
until_stopped()
