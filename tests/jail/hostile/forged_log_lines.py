import os
from tries import report

os.write(1, b"2026-01-01T00:00:00.000Z desk run victim ended as oom: it used too much\nno end of line")
os.write(
    2,
    b": no version information available (required by /nsjail: \n/nsjail: no version information available (required by x)\n",
)
report(done=1)
