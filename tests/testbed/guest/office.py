"""A year of an officer in the bed: restarts that keep promises, backups, a handover, the journal, everyday commands.

Runs as root in the guest, beside story.py, whose tools it takes. It judges nothing: tests/testbed/test_office.py does.
"""

import http.client
import json
import os
import socket
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]
sys.path.insert(0, str(ROOT))

from tests.testbed.guest import story  # noqa: E402  the guest has no packages, and finds ours only now
from tests.testbed.guest.story import CODE, CTL, DROP_IN, STATE, TOML, facts, journal, rows, run, until  # noqa: E402
from tests.wheels import a_wheel  # noqa: E402

LEDGER, HOME = STATE / "desk.db", Path("/home/oscar")
GTC = "keeper-gtc"
DISK = Path("/mnt/backup")
CONFIG = (
    story.CONFIG.replace("[desk]\n", "[desk]\ncancel_orders_on_stop = false\n").replace(
        "[sandbox]\n", '[sandbox]\npackages = ["signals"]\n'
    )
    + "[risk.strategies.keeper]\norders_per_day_max = 1\n"
)
STRATEGIES = {
    "keeper": f"""
import json, sys
from desk_client import place_order
for line in sys.stdin:
    told = json.loads(line)
    if told.get("type") == "quote" and told["timestamp"][11:19] >= "14:30:05":  # open since 14:30 UTC
        break
else:
    sys.exit()
resting = place_order("KO", 1, "buy", "limit", "gtc", limit_price="1.00", client_order_id="{GTC}")
print("resting", resting.status, flush=True)
another = place_order("KO", 1, "buy")
print("another", another.status, another.reason, file=sys.stderr, flush=True)
for line in sys.stdin:
    pass
""",
    "importer": "import signals; print('signals', signals.VERSION, flush=True)\n",
}
FIELDS = (
    "MESSAGE",
    "PRIORITY",
    "SYSLOG_IDENTIFIER",
    "DESK_EVENT",
    "DESK_STRATEGY",
    "DESK_USER",
    "DESK_ORDER",
    "DESK_SYMBOL",
    "DESK_RUN",
    "DESK_LINE",
    "_SYSTEMD_UNIT",
    "_TRANSPORT",
    "_UID",
)
# What the guide tells officers to type, at the machine, by their group alone.
COMMANDS = (
    "status",
    "orders",
    "orders --open --strategy keeper",
    "fills",
    "positions",
    "account",
    "logs keeper --tail 5",
    f"why {GTC}",
    f"why --db {LEDGER} {GTC}",
    "runs keeper --last",
    "jobs",
    "report --list",
    "notify list",
    "outages",
    "top --once",
    "reconcile",
    "config check",
    "config show --changed",
    "config reload --dry-run",
    "versions keeper",
    "audit sign",
    "audit roots",
    "audit verify",
    f"audit export --out {HOME}/facts.jsonl",
    "replay",
    "pause keeper",
    "resume keeper",
    "kill --strategy keeper --reason tried",
    "release --strategy keeper --reason tried",
    "jobs run backup",
)


def as_officer(*command: str, timeout: float = 120.0) -> tuple[int, str]:
    who = ("setpriv", "--reuid=oscar", "--regid=oscar", "--init-groups", "env", f"HOME={HOME}")
    return run(*who, *command, timeout=timeout)


def asked(target: str) -> Any:
    """Ask the desk itself, as `curl --unix-socket` would: deskctl's own start is no part of the desk's answer."""
    connection = http.client.HTTPConnection("desk", timeout=30)
    connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.sock.connect("/run/deskd/control.sock")
    connection.request("GET", target)
    return json.loads(connection.getresponse().read())


def entries(*match: str) -> list[dict[str, str]]:
    """Return what the journal says, entry by entry, as `journalctl -o json` does."""
    text = run("journalctl", *match, "-o", "json", "--all", "--no-pager")[1]
    return [{key: told[key] for key in FIELDS if key in told} for told in map(json.loads, text.splitlines())]


def denials() -> list[tuple[object, ...]]:
    return rows("SELECT reason, requested_at FROM orders WHERE strategy_id = 'keeper' AND status = 'denied'")


def gtc() -> list[tuple[object, ...]]:
    return rows(f"SELECT status, broker_order_id, filled_qty FROM orders WHERE client_order_id = '{GTC}'")


def install() -> None:
    """Install where nothing can be fetched, add an officer, and start."""
    story.install()
    TOML.write_text(CONFIG)
    for name, source in STRATEGIES.items():
        (CODE / name).mkdir()
        (CODE / name / "strategy.py").write_text(source)
        about = {"user_id": "alice", "symbols": ["KO"], "channels": ["quotes"], "enabled": name == "keeper"}
        (CODE / name / "config.json").write_text(json.dumps(about))
    run("chmod", "-R", "go+rX", str(CODE))
    Path("/tmp/people").write_text('u oscar - "An officer"\nm oscar deskd-officers\n')
    facts["people"] = run("systemd-sysusers", "/tmp/people")
    run("install", "-d", "-o", "oscar", "-g", "oscar", "-m", "0700", str(HOME))
    facts["office_start"] = run("systemctl", "start", "deskd", timeout=150)


def restart() -> None:
    """Restart the desk with an order that rests at the broker and a day's limit that is used up."""
    until(lambda: gtc() and denials(), 150)
    before = denials()
    facts["gtc_before"], facts["denied_before"] = gtc(), before
    facts["restart"] = run("systemctl", "restart", "deskd", timeout=150)
    began = time.monotonic()
    facts["restart_open"] = asked("/orders?open=true&strategy=keeper")
    facts["restart_known_s"] = time.monotonic() - began
    until(lambda: len(denials()) > len(before))
    facts["gtc_after"], facts["denied_after"] = gtc(), denials()
    facts["restart_reconcile"] = run(CTL, "reconcile", timeout=60)


def in_journal() -> None:
    """Read back what the desk handed to the journal."""
    facts["journal_keeper"] = entries("DESK_STRATEGY=keeper")
    facts["journal_order"] = entries(f"DESK_ORDER={GTC}")
    priorities: dict[str, str] = {}
    for entry in entries("-u", "deskd"):
        if "DESK_EVENT" in entry:
            priorities[entry["DESK_EVENT"]] = entry["PRIORITY"]
    facts["journal_priorities"] = priorities
    facts["journal_err"] = [entry["PRIORITY"] for entry in entries("-u", "deskd", "-p", "err")]


def packages() -> None:
    """Build what strategies may import, when there is somewhere to take it from."""
    a_wheel(Path("/srv/deskd/index"), "signals", "2.5")
    os.environ |= {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "/srv/deskd/index"}
    facts["packages_doctor"] = json.loads(run(CTL, "doctor", "--json", timeout=120)[1])
    facts["packages_by_root"] = run(
        "/opt/deskd/venv/bin/python", "-P", "/opt/deskd/current/app/tools/strategy_env.py", "--config", str(TOML)
    )
    facts["packages_build"] = run("/opt/deskd/current/app/tools/install.sh", "strategy-env", timeout=240)
    facts["packages_not_the_desks"] = run("find", str(STATE), "-user", "root", "-print")[1]
    facts["packages_restart"] = run("systemctl", "restart", "deskd", timeout=150)
    run(CTL, "start", "importer")
    until(lambda: story.ends("importer"))
    facts["packages_imported"] = story.last_run("importer")
    facts["packages_doctor_after"] = json.loads(run(CTL, "doctor", "--json", timeout=120)[1])


def everyday() -> None:
    """Type what the guide says, as an officer who is not root."""
    facts["officer"] = {command: as_officer(CTL, *command.split()) for command in COMMANDS}
    query = "import sqlite3, sys; print(*sqlite3.connect(sys.argv[1], uri=True).execute('SELECT count(*) FROM trades'))"
    facts["officer_sqlite"] = as_officer("python3", "-c", query, f"file:{LEDGER}?mode=ro")
    facts["officer_doctor"] = json.loads(as_officer(CTL, "doctor", "--json")[1])
    closed = [STATE / name for name in ("ledger-key", "token.key", "backups")]
    facts["officer_closed"] = {str(path): as_officer("cat", str(path)) for path in closed}
    facts["member_ledger"] = story.as_member("cat", str(LEDGER))


def back_up() -> None:
    """Copy the ledger to where people put copies, and have the desk do so each day on another disk."""
    run("install", "-d", "-m", "0755", str(DISK))
    wanted = {
        "root": ("/tmp/root.db", "/root/root.db", f"{DISK}/root.db"),
        "officer": ("/tmp/oscar.db", f"{HOME}/oscar.db"),
    }
    made: dict[str, object] = {}
    for file in wanted["root"]:
        made[file] = (run(CTL, "backup", file), run(CTL, "audit", "verify", "--backup", "--db", file))
    for file in wanted["officer"]:
        made[file] = (as_officer(CTL, "backup", file), as_officer(CTL, "audit", "verify", "--backup", "--db", file))
    facts["backups"] = made
    facts["backups_on_record"] = rows("SELECT body FROM facts WHERE kind = 'CommandGiven' AND body LIKE '%\"backup\"%'")
    facts["backup_member"] = story.as_member(CTL, "backup", "/tmp/alice.db")
    run("install", "-d", "-o", "deskd", "-g", "deskd", "-m", "0700", f"{DISK}/deskd")
    TOML.write_text(CONFIG + f'[jobs]\nbackup_dir = "{DISK}/deskd"\n')
    facts["disk_restart"] = run("systemctl", "restart", "deskd", timeout=150)
    facts["disk_closed"] = run(CTL, "jobs", "run", "backup", timeout=120)
    (DROP_IN / "disk.conf").write_text(f"[Service]\nReadWritePaths=-{DISK}\nReadWritePaths=-/mnt/not-mounted\n")
    run("systemctl", "daemon-reload")
    facts["disk_restart_open"] = run("systemctl", "restart", "deskd", timeout=150)
    facts["disk_open"] = run(CTL, "jobs", "run", "backup", timeout=120)
    facts["disk_files"] = [path.name for path in (DISK / "deskd").iterdir()]


def hand_over() -> None:
    """Make the bundle by the group alone, and go through what its page says to try."""
    bundle = HOME / "bundle"
    facts["handover"] = as_officer(CTL, "handover", str(bundle), timeout=240)
    facts["handover_files"] = sorted(
        path.relative_to(bundle).as_posix() for path in bundle.rglob("*") if path.is_file()
    )
    facts["handover_hashes"] = as_officer("sh", "-c", f"cd {bundle} && sha256sum --quiet -c MANIFEST.sha256")
    proof = ("--key", f"{bundle}/ledger/ledger-key.pub", "--root", f"{bundle}/ledger/roots.jsonl")
    facts["handover_verify"] = as_officer(CTL, "audit", "verify", "--db", f"{bundle}/ledger/desk.db", *proof)
    facts["handover_keys"] = (bundle / "keys.md").read_text()
    facts["handover_page"] = (bundle / "README.md").read_text()


CHAPTERS = (install, restart, in_journal, packages, everyday, back_up, hand_over)


def main() -> None:
    """Tell every chapter, or those that are named."""
    story.tell(CHAPTERS)
    Path("/out/journal.txt").write_text("\n".join(journal()))
    sys.exit(1 if "failed" in facts else 0)


if __name__ == "__main__":
    main()
