import threading
from tries import outcome, report, until_stopped

gate = threading.Event()


def bomb():
    for _ in range(10_000):
        threading.Thread(target=gate.wait, daemon=True).start()


got = outcome(bomb)
report(thread=got, count=threading.active_count())
until_stopped()
