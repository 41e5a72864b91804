import os
from tries import outcome, report, until_stopped

born = 0
while True:
    got = outcome(os.fork)
    if got == 0:
        while True:
            try:
                os.fork()
            except OSError:
                pass
    if isinstance(got, str):
        break
    born += 1
report(fork=got, born=born)
until_stopped()
