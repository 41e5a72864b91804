import ctypes, gc, mmap, os, sys
from tries import outcome, report, until_stopped

page = next(o for o in gc.get_objects() if isinstance(o, mmap.mmap))
page[:4096] = b"\xff" * 4096
report(
    lie=1,
    shrink=outcome(lambda: os.truncate(3, 0)),
    grow=outcome(lambda: os.truncate(3, 1 << 20)),
    resize=outcome(lambda: page.resize(1 << 20)),
)
print("HOLDING", flush=True)
while True:
    page[:16] = os.urandom(16)
