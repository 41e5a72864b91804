"""The ways in which a run can come and go; each leaves something behind where the desk lets it."""

import textwrap
from enum import StrEnum
from pathlib import Path


class Life(StrEnum):
    """What a strategy of that name does, and what is done to it."""

    PRINTS = "prints"  # ends by itself
    RAISES = "raises"
    FORKS = "forks"  # ends, and leaves a child in a session of its own
    READS = "reads"  # until it is stopped
    KNOCKS = "knocks"  # and has half a request on its order socket
    DEAF = "deaf"  # is stopped, and has to be killed
    KILLED = "killed"  # by the desk, with a reason


SOURCES = {
    Life.PRINTS: "print('up')",
    Life.RAISES: "open('/tmp/left', 'w').write('x' * 100_000); raise ValueError('on purpose')",
    Life.FORKS: """
        import os, time
        if os.fork() == 0:
            os.setsid()
            time.sleep(600)
    """,
    Life.READS: """
        import sys
        for line in sys.stdin: pass
    """,
    Life.KNOCKS: """
        import socket, sys
        held = [socket.socket(socket.AF_UNIX) for _ in range(3)]
        for one in held:
            one.connect("/run/desk/order.sock")
            one.sendall(b"POST /v1/orders HTTP/1.1\\r\\nHost: desk\\r\\nContent-Le")
        sys.stdin.read()
    """,
    Life.DEAF: """
        import time
        while True: time.sleep(60)
    """,
    Life.KILLED: """
        import os
        held = [os.pipe() for _ in range(50)]
        print("x" * 10_000)
        while True: pass
    """,
}
ENDS_ITSELF = frozenset({Life.PRINTS, Life.RAISES, Life.FORKS})


def write(strategies: Path, sets: int) -> list[dict[Life, str]]:
    """Make *sets* strategies of each kind; return their names, by set."""
    made = [{life: f"{life}{number}" for life in Life} for number in range(sets)]
    for names in made:
        for life, name in names.items():
            folder = strategies / name
            folder.mkdir(parents=True)
            (folder / "strategy.py").write_text(textwrap.dedent(SOURCES[life]))
            (folder / "config.json").write_text('{"symbols": ["AAPL"], "enabled": false}')
    return made
