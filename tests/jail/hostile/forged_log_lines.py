import os
from tries import report

os.write(1, b"2026-01-01T00:00:00.000Z desk run victim ended as oom: it used too much\nno end of line")
for _ in range(20):  # as the loader says it of nsjail at a start: that is dropped, and it is not dropped for ever
    os.write(2, b"/nsjail: no version information available (required by x)\n")
report(done=1)
