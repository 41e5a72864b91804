import os
from tries import report

pid = os.fork()
if pid == 0:
    kept = []
    while True:
        kept.append(bytearray(b"x") * (4 << 20))
_, status = os.waitpid(pid, 0)
report(child=os.WTERMSIG(status))
