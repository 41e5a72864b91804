"""What happens in the bed: the desk is installed, started, attacked, killed and stopped, and what is seen is written down.

Runs as root on the guest's own Python, without any package. It judges nothing: tests/testbed/test_unit.py does. Each chapter
adds to the facts, which are on the way out after each, so that a story cut short still tells how far it came.
"""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import closing
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import ClassVar

OUT = Path("/out/facts.json")
STATE, CODE = Path("/var/lib/deskd"), Path("/srv/deskd/strategies")
DROP_IN = Path("/etc/systemd/system/deskd.service.d")
CTL = "/opt/deskd/venv/bin/deskctl"
TOML = Path("/etc/deskd/desk.toml")
FIRST_UID = 200_000
WINDOW_S, WINDOWS_MAX = 2.0, 15
facts: dict[str, object] = {}

CONFIG = """
[desk]
state_dir = "/var/lib/deskd"
runtime_dir = "/run/deskd"
strategies_dir = "/srv/deskd/strategies"
[exchange]
seed = 7
[sandbox]
memory_mb = 96
pids = 24
cpu = 0.5
stop_grace_s = 1.0
requirements = "wheels"
requirements_index = "/srv/deskd/index"
[restart]
give_up_after = 1
"""
ROUTES = Path("/etc/deskd/notification_routes")
NEW_KEY = "PKROTATED00000000001"
ADDRESS = "json://robot:s3cr3t-pass@127.0.0.1:8099/t0k3n-of-club"
# Blocks the loop where it stands, by a call that waits in the kernel: as code would that forgot that it must not.
BLOCKING = """
import signal, sys, time
signal.signal(signal.SIGUSR2, lambda *_: time.sleep(600))
from deskd.cli.daemon import main
main()
"""
BED = "[Service]\nWatchdogSec=5\n"  # a watch of 30 s would only make the story longer
STRATEGIES = {
    "hog": "held = []\nwhile True: held.append(bytearray(4 << 20))\n",
    "forker": "import os, time\nwhile True:\n    if os.fork() == 0: time.sleep(600)\n",
    "spinner": "print('spins', flush=True)\nwhile True: pass\n",
    "packaged": "import signals; print('signals', signals.VERSION, flush=True)\n",
    "deaf": """
import os, signal, time
open("/dev/null", "w").write("devices work where the unit has its own /dev")
assert open("/dev/urandom", "rb").read(4)
for number in range(1, 32):
    try: signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError): pass
if os.fork() == 0: os.setsid()
while True: time.sleep(60)
""",
}


def run(*command: str, timeout: float = 120.0) -> tuple[int, str]:
    """Run it; return its exit code and what it said."""
    ran = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
    return ran.returncode, (ran.stdout + ran.stderr).strip()


def shown(*names: str) -> dict[str, str]:
    """Return what systemd says of the unit."""
    _, text = run("systemctl", "show", "deskd", *[f"--property={name}" for name in names])
    return dict(line.split("=", 1) for line in text.splitlines())


def main_pid() -> int:
    return int(shown("MainPID")["MainPID"])


def journal() -> list[str]:
    return run("journalctl", "-u", "deskd", "--no-pager", "-o", "cat")[1].splitlines()


def until(holds: Callable[[], object], seconds: float = 90.0) -> bool:
    """Say whether it came to hold in that time."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.25)
    return True


def rows(query: str) -> list[tuple[object, ...]]:
    try:
        with closing(sqlite3.connect(f"file:{STATE}/desk.db?mode=ro", uri=True, timeout=5)) as ledger:
            return ledger.execute(query).fetchall()
    except sqlite3.Error:
        return []


def ends(name: str) -> list[tuple[object, ...]]:
    return rows(f"SELECT exit_reason, exit_detail FROM runs WHERE strategy_id = '{name}' AND ended_at IS NOT NULL")


def groups() -> list[Path]:
    """Return the cgroups of runs."""
    folders = [Path(path) for path in json.loads((STATE / "cgroups.json").read_text())]
    return [path for folder in folders for path in folder.glob("*") if path.is_dir()]


def group_of(name: str) -> Path | None:
    return next((path for path in groups() if path.name.startswith(f"{name}.")), None)


def as_member(*command: str) -> tuple[int, str]:
    return run("setpriv", "--reuid=alice", "--regid=alice", "--clear-groups", *command, timeout=120)


def last_run(name: str) -> dict[str, object]:
    """Return the story of its last run, as `deskctl runs NAME --last` tells it."""
    told = json.loads(run(CTL, "runs", name, "--last", "--json")[1])
    assert isinstance(told, dict)
    return told


def busy_window(group: Path, seconds: float) -> dict[str, float]:
    """Return what a run got of the CPU in that time, and what everybody else did."""

    def look() -> dict[str, float]:
        told = {name: float(value) for name, value in map(str.split, (group / "cpu.stat").read_text().splitlines())}
        times = list(map(int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]))
        idle = times[3] + times[4]
        told["busy_usec"] = (sum(times) - idle) * 1e6 / os.sysconf("SC_CLK_TCK")
        return told | {"at": time.monotonic()}

    before = look()
    time.sleep(seconds)
    return {name: value - before[name] for name, value in look().items()}


def processes() -> dict[int, dict[str, str]]:
    """Return every process of every run, by what the kernel says of it."""
    found = {}
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            told = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
            told["cgroup"] = (status.parent / "cgroup").read_text()
            told["oom_score_adj"] = (status.parent / "oom_score_adj").read_text()
        except OSError:
            continue
        if "/deskd-" in told["cgroup"]:
            found[int(status.parent.name)] = {key: value.strip() for key, value in told.items()}
    return found


def strategy_uid(process: dict[str, str]) -> int:
    return int(process["Uid"].split()[0])


def strategies_alive() -> list[int]:
    return [pid for pid, process in processes().items() if strategy_uid(process) >= FIRST_UID]


def install() -> None:
    facts["install"] = code, text = run("sh", "tests/testbed/guest/install.sh", timeout=240)
    assert code == 0, text
    facts["installed_check"] = run(CTL, "config", "check")
    TOML.write_text(CONFIG)
    DROP_IN.mkdir(parents=True)
    CODE.mkdir(parents=True)
    (DROP_IN / "bed.conf").write_text(BED)
    for name in ("example_bob", "simple_strategy"):
        run("cp", "-a", f"strategies/{name}", str(CODE))
    for name, source in STRATEGIES.items():
        (CODE / name).mkdir(parents=True)
        (CODE / name / "strategy.py").write_text(source)
        (CODE / name / "config.json").write_text(json.dumps({"user_id": "alice", "enabled": False}))
    run("chmod", "-R", "go+rX", "/srv/deskd")
    run("systemctl", "daemon-reload")
    facts["verified"] = run("systemd-analyze", "verify", "deskd.service")
    facts["exposure"] = run("systemd-analyze", "security", "--no-pager", "deskd.service")[1].splitlines()[-1:]


def start() -> None:
    began = time.monotonic()
    facts["start"] = run("systemctl", "start", "deskd", timeout=150)
    facts["start_s"] = time.monotonic() - began
    facts["after_start"] = shown("ActiveState", "SubState", "StatusText", "Type", "Result")
    facts["desk"] = {
        key: value.strip()
        for key, value in (line.split(":", 1) for line in Path(f"/proc/{main_pid()}/status").read_text().splitlines())
    }


def trade() -> None:
    wanted = {"example_bob", "simple_strategy"}
    until(lambda: {row[0] for row in rows("SELECT DISTINCT strategy_id FROM fills")} >= wanted, 60)
    facts["filled"] = sorted(str(row[0]) for row in rows("SELECT DISTINCT strategy_id FROM fills"))
    facts["status_text"] = shown("StatusText")["StatusText"]


def look() -> None:
    facts["runs"] = list(processes().values())
    names = ("memory.max", "memory.swap.max", "memory.oom.group", "pids.max", "cpu.max", "cpu.weight")
    facts["limits"] = {
        group.name.split(".")[0]: {
            name: (group / name).read_text().strip() for name in names if (group / name).exists()
        }
        for group in groups()
    }
    facts["uids"] = json.loads((STATE / "uids.json").read_text())


def bounds() -> None:
    for name in ("hog", "forker"):
        facts[f"start_{name}"] = run(CTL, "start", name)
    until(lambda: ends("hog") and ends("forker"))
    facts["hog"], facts["forker"] = ends("hog"), ends("forker")
    facts["start_spinner"] = run(CTL, "start", "spinner")
    until(lambda: group_of("spinner") is not None)
    group = group_of("spinner")
    windows: list[dict[str, float]] = []
    while group is not None and len(windows) < WINDOWS_MAX:  # until one in which it could have had all it wanted
        windows.append(busy_window(group, WINDOW_S))
        if windows[-1]["nr_throttled"] > windows[-1]["nr_periods"] / 2:
            break
    facts["spinner"] = windows
    facts["stop_spinner"] = run(CTL, "stop", "spinner")
    facts["after_bounds"] = shown("ActiveState", "Result", "NRestarts")
    facts["left_by_bounds"] = [
        group.name for group in groups() if group.name.split(".")[0] in {"hog", "forker", "spinner"}
    ]
    facts["figures"] = {name: last_run(name) for name in ("hog", "spinner")}
    facts["figures_text"] = run(CTL, "runs", "spinner", "--last")


def jail_test() -> None:
    facts["jail_test"] = json.loads(run(CTL, "jail", "test", "--json", timeout=120)[1])
    facts["jail_test_member"] = as_member(CTL, "jail", "test")


def packages() -> None:
    """Have an officer build a strategy's own packages; a member may not."""
    sys.path.insert(0, str(Path(__file__).parents[3]))
    from tests.wheels import a_wheel

    a_wheel(Path("/srv/deskd/index"), "signals", "1.5")
    (CODE / "packaged" / "requirements.txt").write_text("signals == 1.5\n")
    facts["build_member"] = as_member(CTL, "build", "packaged")
    facts["build"] = run(CTL, "build", "packaged", timeout=120)
    run(CTL, "start", "packaged")
    until(lambda: ends("packaged"))
    facts["packaged"] = last_run("packaged")
    facts["build_left"] = sorted(path.name for path in (STATE / "build").iterdir())


def stop_deaf() -> None:
    facts["start_deaf"] = run(CTL, "start", "deaf")
    until(lambda: (found := group_of("deaf")) and len((found / "cgroup.procs").read_text().split()) >= 3)
    pids = (group_of("deaf") or Path("/nonexistent")).joinpath("cgroup.procs").read_text().split()
    facts["stop_deaf"] = run(CTL, "stop", "deaf")
    facts["deaf"] = {
        "pids": pids,
        "alive": [pid for pid in pids if Path(f"/proc/{pid}").exists()],
        "ends": ends("deaf"),
    }
    facts["deaf_group"] = str(group_of("deaf"))


def reload() -> None:
    before = main_pid()
    run("mv", str(CODE / "deaf"), "/srv/deskd/away")
    facts["reload"] = run("systemctl", "reload", "deskd")
    facts["reload_same_pid"] = before == main_pid()
    facts["reload_status"] = shown("StatusText", "ActiveState")
    run("mv", "/srv/deskd/away", str(CODE / "deaf"))
    TOML.write_text(CONFIG + '[risk.strategy]\nallocation = "7000"\n[api]\nlocal_port = 8085\n')
    facts["reload_config"] = run("systemctl", "reload", "deskd")
    facts["reload_accounts"] = {
        one["strategy_id"]: one["allocation"] for one in json.loads(run(CTL, "account", "--json")[1])
    }
    facts["reload_on_record"] = rows("SELECT body FROM facts WHERE kind = 'CommandGiven' ORDER BY seq DESC LIMIT 1")
    TOML.write_text(CONFIG + "[risk.strategy]\nallocatoin = 1\n")
    facts["reload_wrong"] = run("systemctl", "reload", "deskd")
    facts["reload_wrong_status"] = shown("StatusText", "ActiveState")
    facts["reload_wrong_told"] = run(CTL, "config", "reload")
    facts["reload_member"] = as_member(CTL, "config", "reload")
    TOML.write_text(CONFIG)
    facts["reload_told"] = run(CTL, "config", "reload")
    facts["reload_end"] = (before == main_pid(), shown("StatusText")["StatusText"])


def doctor() -> None:
    facts["doctor_root"] = json.loads(run(CTL, "doctor", "--json", timeout=120)[1])
    facts["doctor_member"] = json.loads(as_member(CTL, "doctor", "--json")[1])
    facts["not_the_desks"] = run("find", str(STATE), "-user", "root", "-print")[1]


def versions() -> dict[str, str]:
    links = {name: Path("/opt/deskd", name) for name in ("current", "previous")}
    return {name: str(link.readlink()) for name, link in links.items() if link.exists()}


def runs_from() -> str:
    return Path(f"/proc/{main_pid()}/cmdline").read_bytes().split(b"\0")[0].decode()


def upgrade() -> None:
    """Install another version over the running one, and go back; the desk is started again when the officer says so."""
    facts["versions_before"], before = versions(), main_pid()
    with Path("deskd/__init__.py").open("a") as file:
        file.write("# another version\n")
    facts["upgrade"] = run("sh", "tests/testbed/guest/install.sh", timeout=240)
    facts["versions_after"], facts["upgrade_same_pid"] = versions(), before == main_pid()
    facts["upgrade_ran_from"] = runs_from()
    facts["upgrade_toml_kept"] = TOML.read_text() == CONFIG
    facts["upgrade_again"] = run("sh", "tests/testbed/guest/install.sh", timeout=240)
    run("systemctl", "reset-failed", "deskd")
    facts["upgrade_restart"] = run("systemctl", "restart", "deskd", timeout=150)
    facts["upgrade_runs_from"] = runs_from()
    facts["upgrade_status"] = shown("StatusText", "ActiveState")


def uninstall() -> None:
    facts["uninstall"] = run("tools/install.sh", "uninstall", timeout=120)
    gone = ("/opt/deskd", "/etc/systemd/system/deskd.service", "/usr/local/bin/deskctl", "/usr/local/bin/deskd")
    facts["uninstall_left"] = [path for path in gone if os.path.lexists(path)]
    kept = (str(TOML), "/etc/deskd/alpaca_key_id", str(ROUTES), "/var/lib/deskd/desk.db", "/var/lib/deskd/uids.json")
    facts["uninstall_lost"] = [path for path in kept if not Path(path).exists()]


def kill() -> None:
    before, desk = processes(), main_pid()
    uids = {strategy_uid(process) for process in before.values()}
    os.kill(desk, signal.SIGKILL)
    until(lambda: not [pid for pid in before if Path(f"/proc/{pid}").exists()], 10)
    facts["kill_orphans"] = [pid for pid in before if Path(f"/proc/{pid}").exists()]
    facts["kill_back"] = until(lambda: shown("ActiveState")["ActiveState"] == "active" and main_pid() not in (0, desk))
    facts["kill_runs"] = until(lambda: {strategy_uid(process) for process in processes().values()} >= uids)
    facts["kill_restarts"] = shown("NRestarts")["NRestarts"]
    facts["kill_uids"] = json.loads((STATE / "uids.json").read_text())


def hang() -> None:
    desk = main_pid()
    os.kill(desk, signal.SIGSTOP)
    facts["hang_noticed"] = until(lambda: any("Watchdog timeout" in line for line in journal()), 20)
    facts["hang_back"] = until(lambda: shown("ActiveState")["ActiveState"] == "active" and main_pid() not in (0, desk))
    facts["hang_stack"] = [line for line in journal() if "Fatal Python error: Aborted" in line]


def watchdog_bites() -> int:
    return sum("Watchdog timeout" in line for line in journal())


def block() -> None:
    """Have the loop block in a call of its own, as the unit's own process: nobody stops it from outside."""
    script, drop_in = Path("/srv/deskd/blocking.py"), DROP_IN / "blocking.conf"
    script.write_text(BLOCKING)
    script.chmod(0o644)
    command = f"/opt/deskd/venv/bin/python -P {script} run --config {TOML}"
    drop_in.write_text(f"[Service]\nExecStart=\nExecStart={command}\n")
    run("systemctl", "daemon-reload")
    facts["block_restart"] = run("systemctl", "restart", "deskd", timeout=150)
    bites, desk = watchdog_bites(), main_pid()
    until(lambda: len(processes()) >= 4)
    before = list(processes())
    os.kill(desk, signal.SIGUSR2)
    began = time.monotonic()
    facts["block_noticed"] = until(lambda: watchdog_bites() > bites, 20)
    facts["block_noticed_s"] = time.monotonic() - began
    facts["block_back"] = until(lambda: shown("ActiveState")["ActiveState"] == "active" and main_pid() not in (0, desk))
    facts["block_stack"] = [line for line in journal() if "blocking.py" in line and "in <lambda>" in line]
    facts["block_orphans"] = [pid for pid in before if Path(f"/proc/{pid}").exists()]
    drop_in.unlink()
    run("systemctl", "daemon-reload")
    run("systemctl", "reset-failed", "deskd")  # the story starts it more often than an officer would
    facts["block_end"] = run("systemctl", "restart", "deskd", timeout=150)


class Receiver(BaseHTTPRequestHandler):
    """Takes what apprise's json:// sends."""

    titles: ClassVar[list[str]] = []

    def do_POST(self) -> None:
        self.titles.append(json.loads(self.rfile.read(int(self.headers["Content-Length"])))["title"])
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def routes() -> None:
    """Without its file the unit starts; with it people are told; what is said of it shows no address."""
    facts["routes_shipped"] = (oct(ROUTES.stat().st_mode & 0o777), ROUTES.read_text())
    ROUTES.unlink()
    run("systemctl", "reset-failed", "deskd")
    facts["routes_absent"] = (run("systemctl", "restart", "deskd", timeout=150), shown("ActiveState"))
    threading.Thread(target=HTTPServer(("127.0.0.1", 8099), Receiver).serve_forever, daemon=True).start()
    ROUTES.touch(mode=0o600)
    ROUTES.write_text(f'[routes]\nclub = "{ADDRESS}"\n')
    TOML.write_text(CONFIG + '[notify]\nrisk = ["club"]\nsystem_alerts = ["club"]\nscanner = ["clup"]\n')
    facts["routes_wrong"] = run(CTL, "config", "check")
    TOML.write_text(CONFIG + '[notify]\nrisk = ["club"]\nsystem_alerts = ["club"]\nscanner = ["club"]\n')
    facts["routes_check"] = run(CTL, "config", "check")
    facts["routes_check_member"] = as_member(CTL, "config", "check")
    facts["routes_restart"] = run("systemctl", "restart", "deskd", timeout=150)
    facts["routes_test"] = run(CTL, "notify", "test", "--wait", "60", timeout=90)
    facts["routes_send"] = run(CTL, "notify", "send", "scanner", "3 found")
    until(lambda: any("3 found" in title for title in Receiver.titles))
    facts["routes_titles"] = Receiver.titles
    facts["routes_doctor"] = json.loads(run(CTL, "doctor", "--json", timeout=120)[1])
    facts["routes_doctor_member"] = json.loads(as_member(CTL, "doctor", "--json")[1])
    said = [*map(json.dumps, facts.values()), *journal()]
    facts["routes_leaked"] = [line for line in said if "s3cr3t" in line or "t0k3n" in line]
    TOML.write_text(CONFIG)
    facts["routes_end"] = run("systemctl", "restart", "deskd", timeout=150)


def rotate() -> None:
    """Change keys by the runbook: what the running desk has, until it is started again, is said."""
    Path("/etc/deskd/alpaca_key_id").write_text(NEW_KEY)
    facts["rotate_half"] = run(CTL, "config", "check")
    Path("/etc/deskd/alpaca_secret_key").write_text(NEW_KEY)
    facts["rotate_reload"] = run(CTL, "config", "reload")
    facts["rotate_doctor"] = json.loads(run(CTL, "doctor", "--json", timeout=120)[1])
    facts["rotate_sign"] = run(CTL, "audit", "sign")
    run("systemctl", "stop", "deskd", timeout=90)
    run("mv", str(STATE / "ledger-key"), "/srv/deskd/old-ledger-key")
    run("systemctl", "reset-failed", "deskd")
    facts["rotate_start"] = run("systemctl", "start", "deskd", timeout=150)
    facts["rotate_resign"] = run(CTL, "audit", "sign")
    facts["rotate_keys"] = (STATE / "ledger-key.pub").read_text().split()
    proof = ("--root", str(STATE / "roots.jsonl"), "--key", str(STATE / "ledger-key.pub"))
    facts["rotate_verify"] = run(CTL, "audit", "verify", *proof, timeout=120)
    facts["rotate_reload_after"] = run(CTL, "config", "reload")
    facts["rotate_leaked"] = [line for line in (*map(json.dumps, facts.values()), *journal()) if NEW_KEY in line]


def signal_kill() -> None:
    """Pull the kill switch without deskctl, by the runbook."""
    facts["signal"] = run("systemctl", "kill", "--kill-whom=main", "-s", "USR1", "deskd")
    until(lambda: "KILL desk" in run(CTL, "status")[1], 20)
    facts["signal_status"] = run(CTL, "status")[1]
    facts["signal_release"] = run(CTL, "release", "--reason", "tried")
    (STATE / "KILL").touch()
    until(lambda: "KILL desk" in run(CTL, "status")[1], 20)
    facts["file_release"] = run(CTL, "release", "--reason", "tried")
    (STATE / "KILL").unlink()
    facts["file_release_after"] = run(CTL, "release", "--reason", "tried")
    facts["signal_pid"] = (json.loads(run(CTL, "status", "--json")[1])["desk"]["pid"], main_pid())


def restore() -> None:
    """Lose the ledger, and put a backup in its place by the runbook."""
    facts["restore_backup"] = run(CTL, "jobs", "run", "backup", timeout=120)
    [backup] = sorted((STATE / "backups").glob("desk-*.db"))[-1:]
    run("systemctl", "stop", "deskd", timeout=90)
    proof = ("--root", str(STATE / "roots.jsonl"), "--key", str(STATE / "ledger-key.pub"))
    facts["restore_look"] = run(CTL, "audit", "verify", "--backup", "--db", str(backup), *proof, timeout=120)
    aside = Path("/srv/deskd/aside")
    aside.mkdir()
    for name in ("desk.db", "desk.db-wal", "desk.db-shm", "desk.db.snapshot", "roots.jsonl"):
        run("mv", str(STATE / name), str(aside))
    facts["restore_copy"] = run(
        "install", "-o", "deskd", "-g", "deskd", "-m", "0640", str(backup), str(STATE / "desk.db")
    )
    run("systemctl", "reset-failed", "deskd")
    facts["restore_start"] = run("systemctl", "start", "deskd", timeout=150)
    facts["restore_reconcile"] = run(CTL, "reconcile", timeout=60)
    facts["restore_verify"] = run(CTL, "audit", "verify", timeout=120)
    facts["restore_replay"] = run(CTL, "replay", timeout=120)


def previous() -> None:
    """Go back to the version before, and forth again."""
    before = versions()
    facts["previous"] = run("tools/install.sh", "previous", timeout=120)
    facts["previous_versions"] = (before, versions())
    run("systemctl", "reset-failed", "deskd")
    facts["previous_restart"] = run("systemctl", "restart", "deskd", timeout=150)
    facts["previous_runs_from"] = runs_from()
    facts["previous_doctor"] = json.loads(run(CTL, "doctor", "--json", timeout=120)[1])
    facts["previous_back"] = run("tools/install.sh", "previous", timeout=120)
    facts["previous_end"] = (versions(), run("systemctl", "restart", "deskd", timeout=150))


def stop() -> None:
    until(strategies_alive)
    began = time.monotonic()
    facts["stop"] = run("systemctl", "stop", "deskd", timeout=90)
    facts["stop_s"] = time.monotonic() - began
    facts["stop_result"] = shown("Result", "ActiveState")
    facts["stop_alive"] = list(processes())
    facts["stop_groups"] = [str(path) for path in Path("/sys/fs/cgroup/system.slice").glob("deskd.service/*/")]
    facts["jail_test_alone"] = run(CTL, "jail", "test", timeout=120)  # no desk runs: this user tries
    facts["jail_test_alone_member"] = as_member(CTL, "jail", "test")
    facts["stop_not_the_desks"] = run("find", str(STATE), "-user", "root", "-print")[1]
    facts["stop_told"] = sorted({line for line in journal() if line.startswith(("{", "exchange_stopped"))})
    facts["stop_ends"] = rows("SELECT exit_reason FROM runs WHERE ended_at = (SELECT max(ended_at) FROM runs)")


def wrong_configuration() -> None:
    Path("/etc/deskd/desk.toml").write_text("[sandbox]\npids = 1\nmemroy_mb = 1\n")
    facts["wrong_start"] = run("systemctl", "start", "deskd")
    facts["wrong_result"] = shown("Result", "ExecMainStatus", "ActiveState", "NRestarts", "StatusText")
    errors = run("journalctl", "-u", "deskd", "-p", "err", "DESK_EVENT=desk_ended", "-o", "json", "--no-pager")[1]
    facts["wrong_told"] = [json.loads(line) for line in errors.splitlines()[-2:]]
    run("systemctl", "reset-failed", "deskd")


def one_uid() -> None:
    """Take every capability away: the third set-up, in a state folder of its own."""
    global STATE  # noqa: PLW0603  the rest of the story plays there
    STATE = Path("/var/lib/deskd-rootless")
    (DROP_IN / "rootless.conf").write_text(
        "[Service]\nAmbientCapabilities=\nCapabilityBoundingSet=\nStateDirectory=\nStateDirectory=deskd-rootless\n"
    )
    Path("/etc/deskd/desk.toml").write_text(CONFIG.replace("/var/lib/deskd", str(STATE)))
    run("systemctl", "daemon-reload")
    facts["rootless_start"] = run("systemctl", "start", "deskd", timeout=150)
    until(
        lambda: (
            sum(len(process["NSpid"].split()) > 1 and process["Seccomp"] == "2" for process in processes().values())
            >= 2
        )
    )
    facts["rootless_runs"] = list(processes().values())
    facts["rootless_uid"] = int(Path(f"/proc/{main_pid()}/status").read_text().split("Uid:")[1].split()[0])
    facts["rootless_said"] = [line for line in journal() if "strategies_share_one_uid" in line]
    facts["rootless_limits"] = [(group / "memory.max").read_text().strip() for group in groups()]
    run(CTL, "start", "hog")
    until(lambda: ends("hog"))
    facts["rootless_hog"] = ends("hog")
    facts["rootless_doctor"] = json.loads(run(CTL, "doctor", "--json", timeout=120)[1])
    facts["rootless_stop"] = run("systemctl", "stop", "deskd", timeout=90)
    facts["rootless_alive"] = list(processes())


CHAPTERS = (
    install,
    start,
    trade,
    look,
    bounds,
    jail_test,
    packages,
    stop_deaf,
    reload,
    doctor,
    routes,
    rotate,
    signal_kill,
    restore,
    upgrade,
    previous,
    kill,
    hang,
    block,
    stop,
    wrong_configuration,
    one_uid,
    uninstall,
)


def tell(chapters: Sequence[Callable[[], None]]) -> None:
    """Tell every chapter, or those that are named; one that fails ends the story, with its error and the journal's last words."""
    times: dict[str, float] = {}
    facts["seconds"] = times
    facts["machine"] = {"kernel": os.uname().release, "systemd": run("systemctl", "--version")[1].splitlines()[0]}
    named = sys.argv[1:]
    for chapter in (one for one in chapters if not named or one.__name__ in named):
        began = time.monotonic()
        try:
            chapter()
        except Exception:  # noqa: BLE001  it belongs into the facts
            facts["failed"] = {"chapter": chapter.__name__, "error": traceback.format_exc()}
        times[chapter.__name__] = round(time.monotonic() - began, 1)
        sys.stdout.write(f"{chapter.__name__}: {times[chapter.__name__]} s\n")
        sys.stdout.flush()
        OUT.write_text(json.dumps(facts, indent=1, default=str))
        if "failed" in facts:
            break


def main() -> None:
    """Tell it."""
    tell(CHAPTERS)
    Path("/out/journal.txt").write_text("\n".join(journal()))
    sys.exit(1 if "failed" in facts else 0)


if __name__ == "__main__":
    main()
