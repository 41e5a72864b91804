"""`python -m deskd.venue`: the exchange as a child of the desk; its settings come on standard input."""

import sys

import uvloop

from deskd.domain.errors import ConfigError, LedgerError
from deskd.venue.process import serve
from deskd.venue.settings import decode

if __name__ == "__main__":
    try:
        uvloop.run(serve(decode(sys.stdin.buffer.read())))
    except (ConfigError, LedgerError) as error:
        sys.exit(f"exchange: {error}")
