"""What an officer does with an installed desk in a year, under a real systemd, mostly without being root."""

import re
from typing import Any

import pytest

from deskd.cli.handover import RUNBOOKS

pytestmark = [pytest.mark.needs_testbed, pytest.mark.timeout(900)]
Story = dict[str, Any]

KNOWN_S = 2.0  # from READY to the first answer that names the order
LEDGER_OF_THE_UNIT = "/var/lib/deskd/desk.db"


def test_without_a_network_an_installation_goes_on_and_says_what_is_missing(office: Story) -> None:
    """Strategies have the standard library until then; the one command for later is named, by the doctor, too."""
    code, said = office["install"]
    assert code == 0
    command = "sudo /opt/deskd/current/app/tools/install.sh strategy-env"
    assert "pip could not install the packages" in said
    assert f"strategies have the standard library alone; why is said above. Later: {command}" in said
    [found] = [check for check in office["packages_doctor"] if check["check"] == "packages"]
    assert (found["verdict"], command in found["remedy"]) == ("warning", True), found


def test_a_resting_order_is_known_again_within_two_seconds_of_ready(office: Story) -> None:
    """With cancel_orders_on_stop = false: the same order, at the broker as before, and its strategy finds it."""
    assert office["restart"] == [0, ""]
    [[status, broker_order_id, filled]] = office["gtc_before"]
    assert (status, filled) == ("accepted", "0")
    [order] = office["restart_open"]["orders"]
    assert (order["client_order_id"], order["broker_order_id"]) == ("keeper-gtc", broker_order_id)
    assert office["restart_known_s"] < KNOWN_S
    assert office["gtc_after"] == office["gtc_before"]  # asked for again by the strategy that came back: nothing new
    assert "books and broker agree" in office["restart_reconcile"][1]


def test_a_limit_of_the_day_that_is_used_up_stays_so_after_a_restart(office: Story) -> None:
    """One order a day: the second is denied by the desk before and by the desk after."""
    before, after = office["denied_before"], office["denied_after"]
    assert [reason for reason, _ in before] == ["ORDERS_PER_DAY_MAX"]
    assert [reason for reason, _ in after] == ["ORDERS_PER_DAY_MAX"] * 2


def test_the_journal_gives_back_a_strategys_life_by_its_fields(office: Story) -> None:
    """`journalctl DESK_STRATEGY=NAME -o json`: start, orders, prints, end; all of the unit, as the journal's own entries."""
    told = office["journal_keeper"]
    for entry in told:
        assert entry["DESK_STRATEGY"] == "keeper"
        assert entry["DESK_USER"] == "alice"
        assert (entry["_SYSTEMD_UNIT"], entry["_TRANSPORT"]) == ("deskd.service", "journal")
        assert entry["PRIORITY"] in set("34567")
    by_event = {entry["DESK_EVENT"]: entry for entry in told}
    assert set(by_event) >= {"run_started", "order_approved", "order_denied", "strategy_printed", "run_ended"}
    approved = by_event["order_approved"]
    assert (approved["DESK_ORDER"], approved["DESK_SYMBOL"]) == ("keeper-gtc", "KO")
    assert approved["DESK_RUN"].startswith("keeper.")
    assert re.match(r"quote KO 2026-01-05T14:3\d:", approved["DESK_LINE"])
    assert [entry for entry in office["journal_order"] if entry["DESK_ORDER"] != "keeper-gtc"] == []


def test_prints_stand_under_their_strategy(office: Story) -> None:
    """Word for word, both streams, in its name, between the lines about its orders."""
    printed = [entry for entry in office["journal_keeper"] if entry["DESK_EVENT"] == "strategy_printed"]
    assert [entry["MESSAGE"] for entry in printed[:2]] == ["resting success", "another denied ORDERS_PER_DAY_MAX"]
    assert {entry["SYSLOG_IDENTIFIER"] for entry in printed} == {"keeper"}
    assert all(entry["DESK_RUN"].startswith("keeper.") for entry in printed)


def test_the_level_of_an_event_is_the_priority_of_its_entry(office: Story) -> None:
    """`journalctl -p err` is what an officer must act on: nothing lesser is in it."""
    levels = office["journal_priorities"]
    assert (levels["run_started"], levels["order_denied"], levels["strategy_packages_missing"]) == ("6", "6", "4")
    assert {int(level) for level in office["journal_err"]} <= {0, 1, 2, 3}


def test_packages_for_strategies_are_built_as_the_desks_user(office: Story) -> None:
    """By one command of the installed version; root leaves nothing in the state; a strategy imports them after a restart."""
    code, said = office["packages_by_root"]
    assert (code, "belongs to uid" in said) == (1, True), said
    code, said = office["packages_build"]
    assert (code, "importing signals in a jail" in said) == (0, True), said
    assert "systemctl restart deskd" in said
    assert office["packages_not_the_desks"] == ""
    assert office["packages_restart"] == [0, ""]
    assert office["packages_imported"]["exit_reason"] == "clean", office["packages_imported"]
    assert office["packages_imported"]["output"] == ["signals 2.5"]
    found = {check["check"]: check["verdict"] for check in office["packages_doctor_after"]}
    assert found["packages"] == "good"


def test_every_command_of_the_guide_is_an_officers_by_the_group_alone(office: Story) -> None:
    """Without sudo: looking, commanding, auditing, replaying, and SQL on the ledger."""
    assert {command: said for command, (code, said) in office["officer"].items() if code != 0} == {}
    assert ": whole" in office["officer"]["audit verify"][1]
    assert "chain: whole" in office["officer"]["replay"][1]
    assert office["officer"]["why keeper-gtc"][1].startswith("Order keeper-gtc")
    assert office["officer"][f"why --db {LEDGER_OF_THE_UNIT} keeper-gtc"][1].startswith("Order keeper-gtc")
    assert "by oscar (uid" in office["officer"]["kill --strategy keeper --reason tried"][1]
    code, said = office["officer_sqlite"]
    assert (code, re.fullmatch(r"\(\d+,\)", said) is not None) == (0, True), said


def test_an_officers_doctor_raises_no_false_alarm(office: Story) -> None:
    """What is root's is not theirs to see, and the ledger is."""
    found = {check["check"]: check["verdict"] for check in office["officer_doctor"]}
    assert set(found.values()) <= {"good", "not yours"}, found
    assert found["ledger"] == "good"


def test_the_group_reads_the_ledger_and_no_key(office: Story) -> None:
    """The signing key and the daily copies stay the desk's; a member reads nothing of it."""
    assert {said[0] for said in office["officer_closed"].values()} == {1}
    assert "Permission denied" in office["member_ledger"][1]


def test_a_copy_of_the_ledger_lands_where_it_was_asked_for(office: Story) -> None:
    """In /tmp (the desk has another), in homes, on another disk: by root and by officers; each is whole, and on record."""
    assert len(office["backups"]) == 5
    for file, (made, verified) in office["backups"].items():
        assert made[0] == 0, (file, made)
        assert (verified[0], f"{file}: whole" in verified[1]) == (0, True), verified
        assert any(f'"{file}"' in body for (body,) in office["backups_on_record"]), file
    code, said = office["backup_member"]
    assert (code, "kept by officers" in said) == (1, True)


def test_daily_copies_go_to_another_disk_once_the_unit_lets_them(office: Story) -> None:
    """Until then the job says which line to add; a disk that is not there keeps no desk from starting."""
    code, said = office["disk_closed"]
    assert (code, "ReadWritePaths=-/mnt/backup/deskd" in said) == (1, True), said
    assert "systemctl edit deskd" in said
    assert office["disk_restart_open"] == [0, ""]
    assert office["disk_open"][0] == 0, office["disk_open"]
    assert len(office["disk_files"]) == 1


def test_an_officer_hands_over_all_that_the_next_ones_need(office: Story) -> None:
    """Of an installed desk, by the group alone: runbooks are in it, hashes hold, the ledger is whole by its own key and roots."""
    assert office["handover"][0] == 0, office["handover"]
    files = set(office["handover_files"])
    assert {f"runbooks/{page.name}" for page in RUNBOOKS.glob("*.md")} <= files
    assert files >= {"README.md", "keys.md", "desk.toml", "doctor.txt", "versions.txt", "ledger/desk.db"}
    assert office["handover_hashes"] == [0, ""]
    code, said = office["handover_verify"]
    assert (code, ": whole" in said, "the key in /home/oscar/bundle" in said) == (0, True, True), said
    for place in ("alpaca_key_id", "alpaca_secret_key", "notification_routes"):
        assert f"`/etc/deskd/{place}` (mode 0600, uid 0" in office["handover_keys"]
    assert "strategies' code: `/srv/deskd/strategies`" in office["handover_page"]
    assert "`/var/lib/deskd/state`" in office["handover_page"]
