"""`make bed`: the desk under a real systemd on cgroup v2: every test of jails in both set-ups without root, and every story.

usage: python -m tests.testbed [PART...]      parts: own_uids, one_uid, unit, office, bare; default: all

Exits 0 if all passed, and leaves in var/bed.json what ran of each part, when, on what. Half an hour on a machine that has time.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from tests.testbed.bed import ROOT, Bed, NoBed, prepare

LIMIT_S = 1_800
RECORD = ROOT / "var" / "bed.json"
SET_UPS = {
    "own_uids": "CAP_SETUID CAP_SETGID CAP_CHOWN",
    "one_uid": "",
}
STORIES = {
    "unit": "story",
    "office": "office",
    "bare": "bare",
}  # tests/testbed/test_NAME.py, and what its guest is called
FILES = (
    "tests/jail --ignore tests/jail/test_exhaustion.py tests/supervision/test_self_test.py "
    "tests/supervision/test_tool_jail.py tests/supervision/test_hello.py tests/supervision/test_scratch.py"
)
WALLS = "sh tests/testbed/guest/walls.sh"
COMMAND = f"{WALLS} {FILES} -vv --tb=short; a=$?; PROC_SUBSET=all {WALLS} tests/jail/test_exhaustion.py -vv --tb=short || a=1; exit $a"
SOAK = "sh tests/testbed/guest/as_desk.sh -m tests.soak --starts 300 --every 50"
MACHINE = "echo KERNEL $(uname -r); echo SYSTEMD $(systemctl --version | head -1)"

type Part = dict[str, object]  # what one part of the record says


def main(named: list[str]) -> None:
    """Run the parts that are named, or all; print what they say, and write the record."""
    if unknown := set(named) - SET_UPS.keys() - STORIES.keys():
        sys.exit(f"there is no part {', '.join(sorted(unknown))}: say {', '.join([*SET_UPS, *STORIES])}")
    try:
        bed = prepare()
    except NoBed as why:
        sys.exit(str(why))
    parts: dict[str, Part] = {}
    for name, rights in SET_UPS.items():
        if not named or name in named:
            parts[name] = set_up(bed, name, rights)
            write(name, parts[name])
    for name in STORIES:
        if not named or name in named:
            parts[name] = story(name)
            write(name, parts[name])
    sys.exit(0 if all(part["is_good"] for part in parts.values()) else 1)


def set_up(bed: Bed, name: str, rights: str) -> Part:
    """Try every jail and a soak with these rights."""
    part: Part = {"is_good": True, "seconds": {}}
    seconds: dict[str, float] = {}
    for what, command in (("jails", COMMAND), ("soak", SOAK)):
        began = time.monotonic()
        with tempfile.TemporaryDirectory() as out:
            ran = bed.boot(f'{MACHINE}; export RIGHTS="{rights}"; {command}', Path(out), limit_s=LIMIT_S)
        seconds[what] = round(time.monotonic() - began, 1)
        part |= {"is_good": part["is_good"] and ran.returncode == 0, "seconds": seconds, "machine": machine(ran.stdout)}
        print(f"{name}, {what}: {seconds[what]:.0f} s, exit {ran.returncode}")
        if what == "jails":
            attacks = re.findall(r"test_an_attack_is_contained\[(\w+)\] (PASSED|FAILED|ERROR)", ran.stdout)
            contained = sum(end == "PASSED" for _, end in attacks)
            part |= {"attacks": {"tried": len(attacks), "contained": contained}, "tests": counts(ran.stdout)}
            print(f"  attacks tried {len(attacks)}, contained {contained}")
        said = ran.stdout if ran.returncode else "\n".join(_ends(ran.stdout))
        print("  " + said[-20_000:].replace("\n", "\n  "), flush=True)
    return part


def story(name: str) -> Part:
    """Have pytest live through one story and judge it."""
    with tempfile.TemporaryDirectory() as told:
        environment = os.environ | {"DESKD_BARE_BED": "1", "DESKD_BED_RECORD": told}
        command = [sys.executable, "-m", "pytest", "-q", f"tests/testbed/test_{name}.py"]
        ran = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        print(f"{name}: exit {ran.returncode}\n  " + ran.stdout[-20_000:].replace("\n", "\n  "), flush=True)
        file = Path(told, f"{STORIES[name]}.json")
        seen = json.loads(file.read_text()) if file.exists() else {}
    return {
        "is_good": ran.returncode == 0,
        "tests": counts(ran.stdout),
        "machine": seen.get("machine"),
        "chapters": seen.get("seconds"),
        "failed": seen.get("failed"),
    }


def counts(said: str) -> Mapping[str, int]:
    """Return how many tests ended how, over every summary that pytest gave."""
    found: dict[str, int] = {}
    for line in said.splitlines():
        if re.search(r" in [\d.]+s", line):
            for count, end in re.findall(r"(\d+) (passed|failed|errors?|skipped|xfailed)", line):
                found[end] = found.get(end, 0) + int(count)
    return found


def machine(said: str) -> Mapping[str, str]:
    """Return the guest's kernel and systemd."""
    return {key.lower(): text for key, text in re.findall(r"^(KERNEL|SYSTEMD) (.+)$", said, re.MULTILINE)}


def write(name: str, part: Part) -> None:
    """Keep what ran, beside what other runs left of other parts: the documents quote it."""
    git = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
    commit = subprocess.run(git, cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip() or None
    when = datetime.now(UTC).isoformat(timespec="seconds")  # noqa: TID251  a record of when it was
    RECORD.parent.mkdir(exist_ok=True)
    kept = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    RECORD.write_text(json.dumps(kept | {name: {"at": when, "commit": commit, **part}}, indent=1) + "\n")


def _ends(said: str) -> list[str]:
    return [line for line in said.splitlines() if re.search(r"\d+ passed|^SKIPPED|^flat|FALLS SHORT|runs in", line)]


if __name__ == "__main__":
    main(sys.argv[1:])
