"""What the filter of system calls costs: a jail of ours as every run's, and the same without its filter.

usage: python -m tests.bench.syscalls      says `NAME WITH WITHOUT` for each call, the medians in nanoseconds

The loop around a call, Python's, is the same in both: the difference is the filter's.
"""

import json
import os
import re
import tempfile
from collections.abc import Callable
from pathlib import Path

from deskd.config import SandboxSection
from deskd.supervision.jail import NSJAIL, jail_config
from deskd.supervision.own_jail import plan_of
from deskd.supervision.process import make_pipes, start
from deskd.supervision.staging import JailFolder, stage_environment
from tests.bench.report import median

ROUNDS = 7
WAIT_S = 60.0
SCRIPT = b"""
import json, os, time
zero, null = os.open("/dev/zero", os.O_RDONLY), os.open("/dev/null", os.O_WRONLY)
CALLS = {
    "getppid": lambda: os.getppid(),
    "read of a byte": lambda: os.read(zero, 1),
    "write of a byte": lambda: os.write(null, b"x"),
}
def ns(call, times=20_000):
    began = time.thread_time_ns()
    for _ in range(times):
        call()
    return (time.thread_time_ns() - began) / times
print(json.dumps({name: min(ns(call) for _ in range(5)) for name, call in CALLS.items()}), flush=True)
"""


def without_filter(config: str) -> str:
    """Take the filter out of a jail's configuration."""
    return re.sub(r"^seccomp_string: .*$", "", config, flags=re.MULTILINE)


def measured(folder: JailFolder, change: Callable[[str], str]) -> dict[str, float]:
    """Run the script in a jail of ours whose configuration is changed; return nanoseconds by call."""
    section, pipes = SandboxSection(), make_pipes()
    environment = stage_environment(folder, section.python)
    with tempfile.TemporaryDirectory(dir=folder.root / "run") as name:
        place = Path(name)
        place.chmod(0o711)
        plan = plan_of("syscalls", SCRIPT, place, section=section, environment=environment, pipes=pipes)
        config = place / "jail.cfg"
        config.write_text(change(jail_config(plan)))
        child = start([NSJAIL, "--config", str(config)], pipes, join=(), clears_groups=not plan.who.is_own)
        pipes.close_theirs()
        child.wait(WAIT_S)
        said = os.read(pipes.stdout, 65_536)
        pipes.close_ours()
    found = json.loads(said)
    assert isinstance(found, dict)
    return {str(call): float(took) for call, took in found.items()}


def main() -> None:
    """Measure with and without, in turns."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        Path(name).chmod(0o755)
        folder = JailFolder(Path(name) / "jails")
        folder.prepare()
        (folder.root / "run").mkdir(mode=0o711, exist_ok=True)
        rounds = [(measured(folder, str), measured(folder, without_filter)) for _ in range(ROUNDS)]
        for call in rounds[0][0]:
            filtered, bare = (median([one[side][call] for one in rounds]) for side in (0, 1))
            print(call.replace(" ", "_"), round(filtered, 1), round(bare, 1), flush=True)


if __name__ == "__main__":
    main()
