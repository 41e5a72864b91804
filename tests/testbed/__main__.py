"""`make bed`: all tests of real jails under a real systemd on cgroup v2, in both set-ups that have no root; an install with pip.

usage: python -m tests.testbed

Exits 0 if all passed. a quarter of an hour on a machine that has time.
"""

import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.testbed.bed import NoBed, prepare

LIMIT_S = 1_800
SET_UPS = {
    "own_uids": "CAP_SETUID CAP_SETGID CAP_CHOWN",
    "one_uid": "",
}
FILES = (
    "tests/jail --ignore tests/jail/test_exhaustion.py tests/supervision/test_self_test.py "
    "tests/supervision/test_tool_jail.py tests/supervision/test_hello.py tests/supervision/test_scratch.py"
)
WALLS = "sh tests/testbed/guest/walls.sh"
COMMAND = f"{WALLS} {FILES} -vv --tb=short; a=$?; PROC_SUBSET=all {WALLS} tests/jail/test_exhaustion.py -vv --tb=short || a=1; exit $a"
SOAK = "sh tests/testbed/guest/as_desk.sh -m tests.soak --starts 300 --every 50"


def main() -> None:
    try:
        bed = prepare()
    except NoBed as why:
        sys.exit(str(why))
    is_good = True
    for name, rights in SET_UPS.items():
        for what, command in (("jails", COMMAND), ("soak", SOAK)):
            began = time.monotonic()
            with tempfile.TemporaryDirectory() as out:
                ran = bed.boot(f'export RIGHTS="{rights}"; {command}', Path(out), limit_s=LIMIT_S)
            is_good &= ran.returncode == 0
            print(f"{name}, {what}: {time.monotonic() - began:.0f} s, exit {ran.returncode}")
            if what == "jails":
                attacks = re.findall(r"test_an_attack_is_contained\[(\w+)\] (PASSED|FAILED|ERROR)", ran.stdout)
                contained = sum(end == "PASSED" for _, end in attacks)
                print(f"  attacks tried {len(attacks)}, contained {contained}")
            said = ran.stdout if ran.returncode else "\n".join(_ends(ran.stdout))
            print("  " + said[-20_000:].replace("\n", "\n  "), flush=True)
    bare = [sys.executable, "-m", "pytest", "-q", "tests/testbed/test_bare.py"]
    is_good &= subprocess.run(bare, env=os.environ | {"DESKD_BARE_BED": "1"}, check=False).returncode == 0
    sys.exit(0 if is_good else 1)


def _ends(said: str) -> list[str]:
    return [line for line in said.splitlines() if re.search(r"\d+ passed|^SKIPPED|^flat|FALLS SHORT|runs in", line)]


if __name__ == "__main__":
    main()
