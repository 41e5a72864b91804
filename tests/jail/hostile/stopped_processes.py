import os, signal
from tries import outcome, report, until_stopped

pid = os.fork()
if pid == 0:
    while True:
        signal.pause()
report(
    self=outcome(lambda: os.kill(os.getpid(), signal.SIGSTOP)),
    child=outcome(lambda: os.kill(pid, signal.SIGSTOP)),
    kill_self=outcome(lambda: os.kill(1, signal.SIGKILL)),
)
until_stopped()
