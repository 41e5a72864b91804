import sys
from tries import report

line = "x" * 100 + "\n"
for _ in range(10_000):
    sys.stdout.write(line)
    sys.stderr.write(line)
