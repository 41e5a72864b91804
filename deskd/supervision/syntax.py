"""Asks another process whether sources compile. Nothing of them is executed.

The compiler holds the interpreter's lock, and hostile source can keep it busy, fill memory or crash it.
"""

import hashlib
import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import structlog

SOURCE_BYTES_MAX = 1_048_576
_TIMEOUT_S = 5.0

log = structlog.get_logger()
_CHECKER = """
import json, os, resource, sys
os.setpriority(os.PRIO_PROCESS, 0, max(10, os.getpriority(os.PRIO_PROCESS, 0)))
resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
resource.setrlimit(resource.RLIMIT_CPU, (4, 4))
for _ in range(int(sys.argv[1])):
    size = int(sys.stdin.buffer.readline())
    source, problem = sys.stdin.buffer.read(size), None
    try:
        compile(source, "strategy.py", "exec", dont_inherit=True)
    except SyntaxError as error:
        problem = "line %s: %s: correct it there" % (error.lineno, error.msg)
    except (ValueError, MemoryError, RecursionError, OverflowError) as error:
        problem = "cannot be compiled (%s): simplify it" % (str(error) or type(error).__name__)
    print(json.dumps(problem), flush=True)
"""


@dataclass(frozen=True, slots=True)
class SyntaxCheck:
    """Asks once per source: a strategy that is started again does not wait for it."""

    python: Path
    _known: dict[bytes, str | None] = field(default_factory=dict)

    def __call__(self, sources: Sequence[bytes]) -> list[str | None]:
        """Return for each source what is wrong with its syntax, or None.

        Where the checker cannot be started there is nothing to say: the run itself will.
        """
        keys = [hashlib.sha256(source).digest() for source in sources]
        fresh = {key: source for key, source in zip(keys, sources, strict=True) if key not in self._known}
        try:
            self._known.update(zip(fresh, check_sources(list(fresh.values()), self.python), strict=True))
        except OSError as error:
            log.warning("syntax_not_checked", sources=len(fresh), error=str(error))
        return [self._known.get(key) for key in keys]


def check_sources(sources: Sequence[bytes], python: Path) -> list[str | None]:
    """Return for each source what is wrong with its syntax, or None; raise OSError where nobody can look."""
    problems: list[str | None] = []
    while len(problems) < len(sources):
        source = sources[len(problems)]
        if len(source) > SOURCE_BYTES_MAX:
            problems.append(f"is over {SOURCE_BYTES_MAX >> 10} KB: keep data in other files")
            continue
        answers = _ask(sources[len(problems) :], python)
        problems += answers
        if not answers:  # this one took the checker down; the rest are asked again
            problems.append("makes Python's own compiler fail or run for too long: simplify it")
    return problems


def _ask(sources: Sequence[bytes], python: Path) -> list[str | None]:
    """Return the answers that came before the checker ended, one per source."""
    asked: list[bytes] = []
    for source in sources:
        if len(source) > SOURCE_BYTES_MAX:
            break
        asked.append(source)
    told = b"".join(b"%d\n%s" % (len(source), source) for source in asked)
    command = [str(python), "-I", "-S", "-W", "ignore", "-c", _CHECKER, str(len(asked))]
    try:
        answer = subprocess.run(command, input=told, capture_output=True, check=False, timeout=_TIMEOUT_S).stdout
    except subprocess.TimeoutExpired as error:
        answer = error.stdout or b""
    return [json.loads(line) for line in answer.splitlines()]
