import os
from tries import until_stopped

for _ in range(1000):
    try:
        if os.fork() == 0:
            os._exit(0)
    except OSError:
        break
until_stopped()
