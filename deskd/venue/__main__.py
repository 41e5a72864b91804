"""`python -m deskd.venue`: the exchange as a child of the desk; its settings come on standard input.

Exit codes as the desk's own: 0 ended as asked, 1 failed, 78 told something wrong.
"""

import os
import sys

import uvloop

from deskd.domain.errors import ConfigError, LedgerError
from deskd.venue.process import serve
from deskd.venue.settings import decode

if __name__ == "__main__":
    try:
        uvloop.run(serve(decode(sys.stdin.buffer.read())))
    except (ConfigError, LedgerError) as error:
        sys.stderr.write(f"exchange: {error}\n")
        sys.exit(os.EX_CONFIG if isinstance(error, ConfigError) else 1)
