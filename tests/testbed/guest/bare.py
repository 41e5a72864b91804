"""What happens on a machine that never had a desk: `make install` with pip, and without systemd-sysusers.

Runs as root on Debian's own Python. There is no network: pip takes the pinned wheels from a folder, by their hashes, as
it takes them from an index. It judges nothing: tests/testbed/test_bare.py does.
"""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

OUT = Path("/out/facts.json")
WHEELS = Path("/opt/wheels")
CTL = "/usr/local/bin/deskctl"
PIP = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(WHEELS)}
facts: dict[str, object] = {}


def run(*command: str, timeout: float = 60.0, **environment: str) -> tuple[int, str]:
    ran = subprocess.run(
        command, env=os.environ | environment, capture_output=True, text=True, timeout=timeout, check=False
    )
    return ran.returncode, (ran.stdout + ran.stderr).strip()


def install() -> tuple[int, str]:
    return run("tools/install.sh", "install", timeout=600, **PIP)


def until(holds: Callable[[], object], seconds: float = 60.0) -> bool:
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.25)
    return True


def filled() -> list[str]:
    try:
        with closing(sqlite3.connect("file:/var/lib/deskd/desk.db?mode=ro", uri=True, timeout=5)) as ledger:
            return sorted(row[0] for row in ledger.execute("SELECT DISTINCT strategy_id FROM fills"))
    except sqlite3.Error:
        return []


def main() -> None:
    """Install, start, trade, fail to upgrade, upgrade, go back."""
    sysusers = Path(shutil.which("systemd-sysusers") or "/usr/bin/systemd-sysusers")
    sysusers.rename(sysusers.with_name("away"))
    facts["machine"] = {"kernel": os.uname().release, "systemd": run("systemctl", "--version")[1].splitlines()[0]}
    facts["before"] = [run("getent", "passwd", "deskd")[0], run("getent", "group", "deskd-officers")[0]]
    facts["install"] = install()
    facts["passwd"] = run("getent", "passwd", "deskd")[1]
    facts["groups"] = run("getent", "group", "deskd-officers")[0]
    facts["check"] = run(CTL, "config", "check")
    facts["packages"] = run("/opt/deskd/venv/bin/python", "-m", "pip", "check")
    facts["profile"] = run("apparmor_parser", "--skip-kernel-load", "--skip-cache", "etc/apparmor.d/deskd-nsjail")

    shutil.copytree("strategies/example_bob", "/var/lib/deskd/strategies/example_bob")
    facts["start"] = run("systemctl", "enable", "--now", "deskd", timeout=200)
    facts["traded"] = until(filled, 90)
    facts["doctor"] = json.loads(run(CTL, "doctor", "--json", timeout=120)[1])

    facts["version"] = str(Path("/opt/deskd/current").readlink())
    with Path("deskd/__init__.py").open("a") as file:
        file.write("# another version\n")
    lacking = next(WHEELS.glob("aiohttp-*"))
    lacking.rename("/opt/away.whl")
    facts["lacking"] = install()
    facts["lacking_version"] = str(Path("/opt/deskd/current").readlink())
    Path("/opt/away.whl").rename(lacking)
    lacking.write_bytes(lacking.read_bytes() + b"changed")
    facts["changed"] = install()
    lacking.write_bytes(lacking.read_bytes().removesuffix(b"changed"))
    facts["upgrade"] = install()
    facts["upgrade_version"] = str(Path("/opt/deskd/current").readlink())
    facts["restart"] = run("systemctl", "restart", "deskd", timeout=200)
    facts["previous"] = run("tools/install.sh", "previous", timeout=120)
    facts["previous_version"] = str(Path("/opt/deskd/current").readlink())
    facts["uninstall"] = run("tools/install.sh", "uninstall", timeout=120)


if __name__ == "__main__":
    try:
        main()
    finally:
        OUT.write_text(json.dumps(facts, indent=1, default=str))
        Path("/out/journal.txt").write_text(run("journalctl", "-u", "deskd", "--no-pager", "-o", "cat")[1])
    sys.exit(0)
