"""`python -m deskd.venue`: the exchange as a child of the desk; its settings come on standard input.

Exit codes as the desk's own: 0 ended as asked, 1 failed, 78 told something wrong.
"""

import sys

from deskd.venue.process import run
from deskd.venue.settings import decode

if __name__ == "__main__":
    sys.exit(run(decode(sys.stdin.buffer.read())))
