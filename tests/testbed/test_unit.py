"""deskd.service under a real systemd on a pure cgroup v2: what the desk promises there, seen from outside of it."""

import re
from typing import Any

import pytest

pytestmark = [pytest.mark.needs_testbed, pytest.mark.timeout(900)]
Story = dict[str, Any]

CAPABILITIES = "00000000000000c1"  # CAP_CHOWN, CAP_SETGID, CAP_SETUID
NONE = "0" * 16
MEMBERS = {"example_bob", "simple_strategy"}
ABOUT_THE_BED = {"packages"}  # it has no numpy for strategies
QUOTA_USEC = 50_000  # in each period of 100 ms
WATCH_S = 5  # the bed's
EXPOSURE_MAX = 3.5  # of 10; systemd's own measure


def uid(process: dict[str, str]) -> int:
    return int(process["Uid"].split()[0])


def scripts(processes: list[dict[str, str]]) -> list[dict[str, str]]:
    """Return the members' own processes: those in a process namespace of their own."""
    return [process for process in processes if len(process["NSpid"].split()) > 1]


def test_an_installation_is_whole(story: Story) -> None:
    """Users, folders, versions, unit and a configuration that is good: one command."""
    code, said = story["install"]
    assert code == 0
    assert "is installed" in said
    assert story["installed_check"] == [0, "/etc/deskd/desk.toml: good"]


def test_the_unit_is_sound(story: Story) -> None:
    """Systemd finds no mistake in it, and little that the desk is exposed to."""
    assert story["verified"] == [0, ""]
    [line] = story["exposure"]
    found = re.search(r"(\d+\.\d+)", line)
    assert found is not None
    assert float(found[1]) <= EXPOSURE_MAX


def test_a_start_waits_until_the_desk_is_ready(story: Story) -> None:
    """`systemctl start` returns when the desk takes orders, and `systemctl status` says so in one line."""
    assert story["start"] == [0, ""]
    assert (story["after_start"]["ActiveState"], story["after_start"]["Result"]) == ("active", "success")
    assert "takes orders" in story["after_start"]["StatusText"]
    assert "2 of 7 strategies running" in story["status_text"]


def test_the_desk_is_no_root_and_has_three_rights(story: Story) -> None:
    """What it may is to give strategies their uids and files; it can gain nothing else."""
    desk = story["desk"]
    assert uid(desk) != 0
    assert {desk[name] for name in ("CapPrm", "CapEff", "CapBnd", "CapAmb")} == {CAPABILITIES}
    assert (desk["NoNewPrivs"], desk["Seccomp"]) == ("1", "2")


def test_strategies_trade(story: Story) -> None:
    """The examples' orders are filled, through the embedded exchange and out of their jails."""
    assert set(story["filled"]) == MEMBERS


def test_each_strategy_is_somebody_of_its_own_without_any_right(story: Story) -> None:
    """An own uid on the host, no group, no capability now or ever, filtered calls, first in line for the OOM killer."""
    found = scripts(story["runs"])
    assert sorted(map(uid, found)) == sorted(story["uids"][name] for name in MEMBERS)
    for process in found:
        assert process["Groups"] == ""
        assert {process[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {NONE}
        assert (process["NoNewPrivs"], process["Seccomp"]) == ("1", "2")
        assert process["oom_score_adj"] == "500"
        assert len(set(process["Uid"].split())) == len(set(process["Gid"].split())) == 1


def test_each_run_has_limits_of_its_own_below_the_unit(story: Story) -> None:
    """One cgroup per run, its jail included, below the service's; systemd accounts for it."""
    groups = {process["cgroup"] for process in story["runs"]}
    assert len(groups) == len(MEMBERS)
    assert all(group.startswith("0::/system.slice/deskd.service/deskd-") for group in groups)
    limits = {"memory.max": str(96 << 20), "memory.swap.max": "0", "memory.oom.group": "1", "pids.max": "24"}
    seen = {name: dict(found) for name, found in story["limits"].items()}
    weights = {int(found.pop("cpu.weight")) for found in seen.values()}  # less while it starts, or uses up its share
    assert seen == dict.fromkeys(MEMBERS, limits | {"cpu.max": "5000 10000"})
    assert max(weights) < 100  # the desk goes first


def test_a_run_over_its_memory_dies_as_oom_and_the_desk_lives(story: Story) -> None:
    """The kernel ends the run as a whole; the unit neither fails nor restarts."""
    assert [reason for reason, _ in story["hog"]] == ["oom"]
    assert "96" in story["hog"][0][1]
    assert story["after_bounds"] == {"ActiveState": "active", "Result": "success", "NRestarts": "0"}
    assert story["left_by_bounds"] == []


def test_a_fork_bomb_is_refused_by_its_own_limit(story: Story) -> None:
    """Others fork on."""
    assert [reason for reason, _ in story["forker"]] == ["pids_limit"]


def test_a_busy_loop_is_throttled(story: Story) -> None:
    """It gets its half of a core, in slices, and no more; where nobody else wants the core, it waits in most of them.

    A window in which others had the other half says nothing: then it had no more to wait for.
    """
    windows = story["spinner"]
    for seen in windows:
        assert seen["usage_usec"] <= (seen["nr_periods"] + 2) * QUOTA_USEC * 1.1, windows
    last = windows[-1]
    others = last["busy_usec"] - last["usage_usec"]
    is_alone = others < last["at"] * 1e6 - last["nr_periods"] * QUOTA_USEC
    assert last["nr_throttled"] > last["nr_periods"] / 2 or not is_alone, windows
    assert any(seen["nr_throttled"] > 0 for seen in windows), windows


def test_the_story_of_a_run_has_its_figures(story: Story) -> None:
    """Peak of memory, CPU time and the wait for a share are what the kernel counted in the run's own group."""
    hog, spinner = story["figures"]["hog"], story["figures"]["spinner"]
    assert (hog["exit_reason"], spinner["exit_reason"]) == ("oom", "stopped")
    assert 90 << 20 < hog["peak_memory_bytes"] <= hog["memory_max_bytes"] == 96 << 20
    assert 1 << 20 < spinner["peak_memory_bytes"] < 48 << 20
    spun = sum(seen["usage_usec"] for seen in story["spinner"]) / 1e6
    assert spinner["cpu_seconds"] >= spun
    assert spinner["throttled_seconds"] >= sum(seen["throttled_usec"] for seen in story["spinner"]) / 1e6 > 0
    assert 0 < spinner["throttled_periods"] <= spinner["periods"]
    assert re.search(r"cpu: +\d+\.\d\d s; waited \d+\.\d\d s for its share", story["figures_text"][1])
    assert re.search(r"memory: +\d", story["figures_text"][1])


def test_the_jail_can_be_tested_while_the_desk_runs(story: Story) -> None:
    """Every wall stands, strategies have uids of their own; a member is told that it is not theirs to ask."""
    assert {row["result"] for row in story["jail_test"]} == {"holds"}
    assert len(story["jail_test"]) >= 40
    code, said = story["jail_test_member"]
    assert code != 0
    assert "officer" in said


def test_the_jail_can_be_tested_where_no_desk_runs(story: Story) -> None:
    """By root, who leaves nothing in the desk's way; a member cannot, and is told why."""
    code, said = story["jail_test_alone"]
    assert (code, "by this user: no desk runs; walls missing: 0" in said) == (0, True), said
    assert story["stop_not_the_desks"] == ""
    code, said = story["jail_test_alone_member"]
    assert code != 0
    assert "Traceback" not in said


def test_an_officer_builds_a_strategys_packages(story: Story) -> None:
    """Without root, in three jails; the strategy imports them, and the build leaves nothing."""
    code, said = story["build_member"]
    assert code != 0
    assert "officers" in said
    assert (story["build"][0], "built signals 1.5" in story["build"][1]) == (0, True), story["build"]
    assert story["packaged"]["exit_reason"] == "clean", story["packaged"]
    assert "signals 1.5" in str(story["packaged"]["output"])
    assert story["build_left"] == []


def test_a_deaf_strategy_is_stopped_without_a_trace(story: Story) -> None:
    """Signals ignored, a child in a session of its own: all gone, and the cgroup with them."""
    assert story["stop_deaf"][0] == 0
    assert len(story["deaf"]["pids"]) == 3
    assert story["deaf"]["alive"] == []
    assert [reason for reason, _ in story["deaf"]["ends"]] == ["stopped"]
    assert story["deaf_group"] == "None"


def test_a_reload_reads_the_strategies_anew_in_the_same_process(story: Story) -> None:
    """`systemctl reload` returns when it is done; a folder that went is gone."""
    assert story["reload"] == [0, ""]
    assert story["reload_same_pid"]
    assert "of 6 strategies" in story["reload_status"]["StatusText"]


def test_a_reload_applies_limits_and_names_what_waits(story: Story) -> None:
    """Each account has its new allocation, and the ledger who gave it; a wrong file is told and changes nothing."""
    assert story["reload_config"] == [0, ""]
    assert {story["reload_accounts"][name] for name in MEMBERS} == {"7000"}
    [[body]] = story["reload_on_record"]
    assert "risk.strategy.allocation: 10000 -> 7000 (applied)" in body
    assert "api.local_port: 0 -> 8085 (needs restart)" in body
    assert story["reload_wrong"] == [0, ""]  # systemctl cannot tell: the status does
    assert story["reload_wrong_status"]["ActiveState"] == "active"
    assert "WRONG, nothing was changed" in story["reload_wrong_status"]["StatusText"]
    code, said = story["reload_wrong_told"]
    assert code == 1
    assert "did you mean risk.strategy.allocation?" in said
    code, said = story["reload_member"]
    assert (code, "officers" in said) == (1, True)
    assert story["reload_told"][0] == 0
    same_pid, status = story["reload_end"]
    assert same_pid
    assert "takes orders" in status


def test_an_upgrade_waits_for_a_restart_and_keeps_the_version_before(story: Story) -> None:
    """The running desk keeps its code until then; desk.toml is not touched; installing again changes nothing."""
    old, new = story["versions_before"]["current"], story["versions_after"]["current"]
    assert story["upgrade"][0] == 0, story["upgrade"]
    assert "systemctl restart deskd" in story["upgrade"][1]
    assert new != old == story["versions_after"]["previous"]
    assert story["upgrade_same_pid"]
    assert story["upgrade_ran_from"].startswith(f"/opt/deskd/{old}/")
    assert story["upgrade_toml_kept"]
    assert "is there" in story["upgrade_again"][1]
    assert story["upgrade_restart"] == [0, ""]
    assert story["upgrade_runs_from"].startswith(f"/opt/deskd/{new}/")
    assert "takes orders" in story["upgrade_status"]["StatusText"]


def test_an_uninstallation_keeps_the_data(story: Story) -> None:
    """Code, unit and commands are gone; ledger, uids, configuration and keys are there."""
    code, said = story["uninstall"]
    assert code == 0
    assert "Kept: /etc/deskd" in said
    assert story["uninstall_left"] == []
    assert story["uninstall_lost"] == []


def test_the_doctor_finds_a_running_desk_in_good_health(story: Story) -> None:
    """Root's doctor tries a jail as the desk's user, names the set-up, and leaves no file of root's in the desk's way."""
    found = {check["check"]: check for check in story["doctor_root"]}
    assert {check["verdict"] for name, check in found.items() if name not in ABOUT_THE_BED} == {"good"}
    assert "one uid per strategy" in found["jail"]["found"]
    assert "without root, one uid per strategy" in found["set-up"]["found"]
    assert story["not_the_desks"] == ""


def test_a_members_doctor_raises_no_false_alarm(story: Story) -> None:
    """What is the officers' is not theirs to see; all else is as good as it is."""
    found = {one["check"]: one["verdict"] for one in story["doctor_member"] if one["check"] not in ABOUT_THE_BED}
    assert {name for name, verdict in found.items() if verdict == "not yours"} >= {"jail", "ledger", "folders"}
    assert set(found.values()) == {"good", "not yours"}


def test_a_killed_desk_leaves_no_orphan_and_comes_back(story: Story) -> None:
    """SIGKILL: every run is gone at once; systemd starts the desk again, and it its runs, as who they were."""
    assert story["kill_orphans"] == []
    assert story["kill_back"]
    assert story["kill_runs"]
    assert story["kill_restarts"] == "1"
    assert story["kill_uids"] == story["kill_uids"] | story["uids"]


def test_a_hanging_desk_is_ended_by_its_watchdog(story: Story) -> None:
    """The loop feeds it: a loop that stands still is noticed, its stack is in the journal, and the desk comes back."""
    assert story["hang_noticed"]
    assert story["hang_stack"]
    assert story["hang_back"]


def test_a_loop_that_blocks_is_ended_by_its_watchdog(story: Story) -> None:
    """By a call that waits in the kernel: its process lives, nobody feeds. The journal has the line that blocked."""
    assert story["block_restart"] == [0, ""]
    assert story["block_noticed"]
    assert story["block_noticed_s"] < WATCH_S * 2 + 10
    assert story["block_stack"]
    assert story["block_back"]
    assert story["block_orphans"] == []
    assert story["block_end"] == [0, ""]


def test_a_desk_without_a_file_of_routes_starts(story: Story) -> None:
    """Whoever removed it, or upgraded from a version that had none, has a desk that tells nobody."""
    mode, text = story["routes_shipped"]
    assert (mode, all(line.startswith("#") for line in text.splitlines())) == ("0o600", True)
    assert story["routes_absent"] == [[0, ""], {"ActiveState": "active"}]


def test_people_are_told_by_routes_that_only_root_can_read(story: Story) -> None:
    """The unit loads them; check and doctor judge them; a test says what arrived; no address is in what is said."""
    code, said = story["routes_wrong"]
    assert (code, 'did you mean "club"?' in said) == (1, True)
    assert story["routes_check"] == story["routes_check_member"] == [0, "/etc/deskd/desk.toml: good"]
    assert story["routes_restart"] == [0, ""]
    assert story["routes_test"] == [0, "system-alerts on club: arrived"]
    assert story["routes_send"] == [0, "on its way by club; look with: deskctl notify list"]
    assert {"[deskd] Test of system-alerts", "[deskd] 3 found"} <= set(story["routes_titles"])
    found = {one["check"]: one for one in story["routes_doctor"]}["notifications"]
    assert (found["verdict"], "club; try them all" in found["found"]) == ("good", True), found
    assert {one["check"]: one for one in story["routes_doctor_member"]}["notifications"]["verdict"] == "not yours"
    assert story["routes_leaked"] == []
    assert story["routes_end"] == [0, ""]


def test_keys_are_changed_by_the_runbook(story: Story) -> None:
    """What the running desk still has is told by reload and doctor until it is started again; old roots stay good."""
    code, said = story["rotate_half"]
    assert (code, "alpaca_secret_key: is not set" in said) == (1, True), said
    assert "still has the old: alpaca_key_id, alpaca_secret_key" in story["rotate_reload"][1]
    waiting = {one["check"]: one for one in story["rotate_doctor"]}["credentials"]
    assert (waiting["verdict"], "systemctl restart deskd" in waiting["remedy"]) == ("warning", True)
    assert story["rotate_start"] == [0, ""]
    assert story["rotate_reload_after"] == [0, "/etc/deskd/desk.toml: nothing changed"]
    assert len(set(story["rotate_keys"])) == 2
    code, said = story["rotate_verify"]
    assert (code, ": whole" in said) == (0, True), said
    assert story["rotate_leaked"] == []


def test_the_kill_switch_is_pulled_without_deskctl(story: Story) -> None:
    """By a signal to the desk alone, or by a file, which is to go before the kill can."""
    assert story["signal"] == [0, ""]
    assert "KILL desk: cancel" in story["signal_status"]
    assert story["signal_release"][0] == 0
    assert (story["file_release"][0], "take it away first" in story["file_release"][1]) == (1, True)
    assert story["file_release_after"][0] == 0
    told, known = story["signal_pid"]
    assert told == known


def test_a_backup_is_put_in_place_by_the_runbook(story: Story) -> None:
    """Every command as it is printed there; the desk goes on, and books and broker agree."""
    for step in ("backup", "look", "copy", "start", "reconcile", "verify", "replay"):
        assert story[f"restore_{step}"][0] == 0, story[f"restore_{step}"]
    assert "older than 1 of the roots" in story["restore_look"][1]
    assert "books and broker agree" in story["restore_reconcile"][1]


def test_the_version_before_is_one_command_away(story: Story) -> None:
    """It runs after a restart; a second time is back again."""
    before, after = story["previous_versions"]
    assert (after["current"], after["previous"]) == (before["previous"], before["current"])
    assert story["previous_restart"] == [0, ""]
    assert story["previous_runs_from"].startswith(f"/opt/deskd/{before['previous']}/")
    bad = [one for one in story["previous_doctor"] if one["verdict"] == "bad"]
    assert bad == []
    assert story["previous_end"] == [before, [0, ""]]


def test_a_stop_ends_runs_in_order_and_leaves_nothing(story: Story) -> None:
    """Each is stopped, not killed; no process and no cgroup is left."""
    assert story["stop"] == [0, ""]
    assert story["stop_result"] == {"Result": "success", "ActiveState": "inactive"}
    assert story["stop_alive"] == []
    assert story["stop_groups"] == []
    assert story["stop_ends"] == [["stopped"]]


def test_the_exchange_speaks_as_the_desk_does(story: Story) -> None:
    """Its entries are the journal's own: no JSON stands in a message."""
    assert story["stop_told"] == ["exchange_stopped"]


def test_a_wrong_configuration_fails_at_once_and_is_not_tried_again(story: Story) -> None:
    """78 tells systemd that another start would end the same."""
    assert story["wrong_start"][0] == 1
    assert (story["wrong_result"]["ExecMainStatus"], story["wrong_result"]["NRestarts"]) == ("78", "0")
    assert story["wrong_result"]["ActiveState"] == "failed"


def test_all_that_is_wrong_with_a_configuration_is_seen_where_officers_look(story: Story) -> None:
    """`journalctl -p err` has each problem as an entry of the desk's own, and `systemctl status` the first."""
    assert story["wrong_result"]["StatusText"].startswith("/etc/deskd/desk.toml:2:1: sandbox.pids: is 1")
    told = [(entry["DESK_EVENT"], entry["DESK_WHY"].split(": ")[1]) for entry in story["wrong_told"]]
    assert told == [("desk_ended", "sandbox.pids"), ("desk_ended", "sandbox.memroy_mb")]


def test_without_any_right_the_desk_jails_under_one_uid_and_says_so(story: Story) -> None:
    """The weaker set-up works, with the same limits; its start and its doctor say what is weaker and what to do."""
    assert story["rootless_start"] == [0, ""]
    found = scripts(story["rootless_runs"])
    assert [uid(process) for process in found] == [story["rootless_uid"]] * len(MEMBERS)
    assert {process["CapEff"] for process in story["rootless_runs"]} == {NONE}
    assert {process["Seccomp"] for process in found} == {"2"}
    assert story["rootless_limits"] == [str(96 << 20)] * len(MEMBERS)
    assert [reason for reason, _ in story["rootless_hog"]] == ["oom"]
    [line] = story["rootless_said"]
    assert "AmbientCapabilities" in line
    told = {check["check"]: check for check in story["rootless_doctor"]}["set-up"]
    assert told["verdict"] == "warning"
    assert "ONE uid" in told["found"]
    assert "AmbientCapabilities" in told["remedy"]
    assert story["rootless_stop"] == [0, ""]
    assert story["rootless_alive"] == []
