"""The weakest set-up for real: a desk that is nobody and may do nothing still bounds and jails what it runs."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deskd.supervision.cgroup import mounts, sweep
from tests.hang import HANG_S
from tests.jail.attacks import ATTACKS

pytestmark = pytest.mark.needs_nsjail

NOBODY = 65_534
ROOT = Path(__file__).parents[2]
CONTROLLERS = ("memory", "pids", "cpu", "cpuacct", "freezer")

# Joins the groups in $GROUPS, makes the interpreter reachable where it lies below a closed home, becomes nobody.
BECOME_NOBODY = """
set -e
for group in $GROUPS; do echo 0 >"$group/tasks"; done
if ! setpriv --reuid=65534 --regid=65534 --clear-groups "$PYTHON" -c pass 2>/dev/null; then
    mkdir "$PLACE/hold"
    mount --bind "$PREFIX" "$PLACE/hold"
    mount -t tmpfs -o mode=755 tmpfs "$HOME"
    mkdir -p "$PREFIX"
    mount --bind "$PLACE/hold" "$PREFIX"
    umount "$PLACE/hold"
fi
case "$RIGHTS" in -all) ambient= ;; *) ambient="--ambient-caps=$RIGHTS" ;; esac
exec setpriv --reuid=65534 --regid=65534 --clear-groups --inh-caps="$RIGHTS" $ambient --bounding-set="$RIGHTS" --no-new-privs \
    "$PYTHON" "$@"
"""
UNIT = ",+setuid,+setgid,+chown"  # the capabilities that deskd.service gives
# Those whose wall could rest on a uid, or on what only root may give. All of them: DESKD_TEST_ALL_ATTACKS=1.
ATTACKS_AS_NOBODY = (
    "files_of_the_host",
    "other_members",
    "overwritten_files",
    "links_and_nodes",
    "become_root",
    "processes",
    "tracing",
    "raised_limits",
    "fork_bomb",
    "memory_bomb",
    "state_full",
    "state_race",
    "spin",
    "immortal",
    "connections",
    "wrong_paths",
    "covert_files",
)
DESK = """
import asyncio, json, os, sys
from pathlib import Path
from tests.supervised import a_world

TELLER = '''
import json, os
def tries(path):
    try: return os.listdir(path)
    except OSError as error: return type(error).__name__
print(json.dumps({"uid": os.getuid(), "groups": os.getgroups(), "files": tries(%r), "processes": tries("/proc")}))
''' % sys.argv[1]
HOG = "held = []\\nwhile True: held.append(bytearray(4 << 20))\\n"

async def main():
    place = Path(sys.argv[1])
    async with a_world(place, place / "jails", {"teller": TELLER, "hog": HOG}, restart={"give_up_after": 1}) as world:
        end = await world.run("teller")
        hog = await world.run("hog")
        told = {"end": end.reason, "hog": hog.reason, "set_up": world.supervisor.set_up(), "desk": os.getuid(),
                "said": world.printed("teller"), "log": world.log("teller")}
        print("TOLD " + json.dumps(told), flush=True)

asyncio.run(main())
"""


@pytest.fixture
def place() -> Iterator[Path]:
    """Make a folder that is nobody's; pytest's own is root's alone."""
    folder = Path(tempfile.mkdtemp(prefix="deskd-nobody-", dir="/tmp"))
    os.chown(folder, NOBODY, NOBODY)
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def groups() -> Iterator[list[Path]]:
    """Give nobody cgroups of v1, as an officer would; v2 is delegated by systemd, and proved in the test bed."""
    if os.geteuid() != 0:
        pytest.skip("only root can become nobody")
    found = mounts()
    if not {"memory", "pids", "cpu"} <= found.keys():
        pytest.skip("no cgroup v1 here: on v2 the test bed proves the same")
    lines = [line.split(":", 2) for line in Path("/proc/self/cgroup").read_text().splitlines()]
    own = {controller: path for _, controllers, path in lines for controller in controllers.split(",")}
    made: list[Path] = []
    for controller in (one for one in CONTROLLERS if one in found):
        point, root = found[controller]
        folder = Path(os.path.normpath(point / os.path.relpath(own[controller], root))) / f"nobody-{os.getpid()}"
        folder.mkdir(exist_ok=True)  # controllers may share a hierarchy
        for path in (folder, folder / "tasks", folder / "cgroup.procs"):
            os.chown(path, NOBODY, NOBODY)
        made.append(folder)
    yield made
    for folder in made:
        sweep(list(folder.glob("deskd-*")))
        sweep([folder])
        folder.rmdir()


def as_nobody(groups: list[Path], place: Path, *arguments: str, rights: str = "") -> str:
    """Run Python with *arguments* as nobody with those *rights*, in those groups; return all that it said."""
    environment = {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "GROUPS": " ".join(map(str, groups)),
        "PLACE": str(place),
        "PREFIX": sys.base_prefix,
        "HOME": str(Path.home()),
        "PYTHON": sys.executable,
        "PYTHONPATH": f"{ROOT}:{ROOT / 'sandbox'}",
        "PYTHONDONTWRITEBYTECODE": "1",
        "RIGHTS": f"-all{rights}",
        **{name: os.environ[name] for name in ("DESKD_TEST_FIGURES", "DESKD_TEST_SLOWNESS") if name in os.environ},
    }
    command = ["unshare", "--mount", "sh", "-c", BECOME_NOBODY, "sh", *arguments]
    ran = subprocess.run(
        command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=4 * HANG_S, check=False
    )
    said = ran.stdout + ran.stderr
    if "Permission denied" in said and "TOLD" not in said and "deskd" not in said:
        pytest.skip(f"nobody cannot reach this interpreter or checkout: {said.strip()[-200:]}")
    if "does not let us make namespaces" in said:
        pytest.skip("this kernel lets only root make namespaces")
    return said


def told_by(said: str) -> dict[str, Any]:
    [line] = [line for line in said.splitlines() if line.startswith("TOLD ")] or [said]
    told = json.loads(line.removeprefix("TOLD "))
    assert isinstance(told, dict)
    return told


def test_a_desk_without_any_right_jails_and_bounds_all_the_same(groups: list[Path], place: Path) -> None:
    """One uid for all, and it says so; no file of the host, no process in sight, and memory is bounded."""
    said = as_nobody(groups, place, "-c", DESK, str(place))
    told = told_by(said)
    assert (told["desk"], told["set_up"]) == (NOBODY, "one_uid")
    assert (told["end"], told["hog"]) == ("clean", "oom"), told
    assert json.loads(told["said"][0]) == {
        "uid": NOBODY,
        "groups": [],
        "files": "FileNotFoundError",
        "processes": "FileNotFoundError",
    }
    assert "strategies_share_one_uid" in said
    assert "AmbientCapabilities" in said


def test_a_desk_with_the_rights_of_its_unit_gives_each_strategy_a_uid(groups: list[Path], place: Path) -> None:
    """No root, three capabilities: strategies are told apart, and every wall stands before one of them starts."""
    said = as_nobody(groups, place, "-c", DESK, str(place), rights=UNIT)
    told = told_by(said)
    assert (told["desk"], told["set_up"]) == (NOBODY, "own_uids"), said
    assert (told["end"], told["hog"]) == ("clean", "oom"), told
    seen = json.loads(told["said"][0])
    assert seen["uid"] not in {0, NOBODY}
    assert seen["groups"] == []
    assert "strategies_share_one_uid" not in said


@pytest.mark.parametrize("rights", ["", UNIT], ids=["one_uid", "own_uids"])
def test_a_desk_that_is_nobody_contains_attacks_all_the_same(groups: list[Path], place: Path, rights: str) -> None:
    """Without root, and where all are one uid, an attacker is kept from files, processes, members and time as elsewhere."""
    chosen = [attack.name for attack in ATTACKS] if "DESKD_TEST_ALL_ATTACKS" in os.environ else ATTACKS_AS_NOBODY
    options = ["-q", "-p", "no:cacheprovider", "-p", "no:randomly", "-p", "no:xdist", f"--basetemp={place / 'pytest'}"]
    words = " or ".join(f"contained[{name}]" for name in chosen)
    said = as_nobody(groups, place, "-m", "pytest", "tests/jail/test_attacks.py", *options, "-k", words, rights=rights)
    assert f"{len(chosen)} passed" in said, said[-4000:]
