import fcntl, os, sys
from tries import outcome, report

report(lock=outcome(lambda: fcntl.flock(os.open("/venv/runner.pyc", os.O_RDONLY), fcntl.LOCK_EX | fcntl.LOCK_NB)))
print("HOLDING", flush=True)
sys.stdin.read()
