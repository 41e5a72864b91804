"""What a probe's answer says of its wall; real jails in test_self_test.py."""

from typing import Any

import pytest

from deskd.supervision.walls import DESK_PROBES, NOT_HERE, PROBES, RDONLY, WALLS, Setup, Verdict, Wall, complaint, judge


def a_setup(*, is_own: bool = False) -> Setup:
    return Setup(
        uid=200_000,
        is_own=is_own,
        overflow_uid=65_534,
        name="self-test",
        environment=frozenset({"PATH"}),
        mounts={"/": RDONLY},
        roots=frozenset({"tmp"}),
        tmp_bytes=1 << 20,
        state_bytes=1 << 20,
        state_files=100,
        rlimits={"CORE": 1},
        threads_max=16,
    )


def a_report(**overrides: Any) -> dict[str, Any]:
    good: dict[str, Any] = {
        "inet_socket": "EAFNOSUPPORT",
        "netlink_socket": "EAFNOSUPPORT",
        "vsock_socket": "EAFNOSUPPORT",
        "terminal_input": "EPERM",
        "io_uring": "ENOSYS",
        "clone3": "ENOSYS",
        "keys": "EPERM",
        "bpf": "EPERM",
        "userfaultfd": "EPERM",
        "memfd": "EPERM",
        "outlive_the_desk": "EPERM",
        "new_namespaces": "EPERM",
        "trace": "EPERM",
        "filter_mode": 2,
        "int_80": "refused",
        "x32": "signal 31",
        "net_namespace": "its own",
        "mnt_namespace": "its own",
        "pid_namespace": "its own",
        "user_namespace": "its own",
        "uts_namespace": "its own",
        "ipc_namespace": "its own",
        "cgroup_namespace": "its own",
        "loopback": "down",
        "host_socket": "ECONNREFUSED",
        "root_folder": ["tmp"],
        "host_files": {"/etc/shadow": "ENOENT"},
        "devices": ["null"],
        "mounts": {"/": RDONLY},
        "write_code": "EROFS",
        "write_socket_folder": "EROFS",
        "execute_own_file": "EACCES",
        "processes": "ENOENT",
        "pids": [1, 0],
        "kill_others": "ESRCH",
        "owner_of_foreign_file": 65_534,
        "become_root": "EPERM",
        "uid": [200_000] * 4,
        "seen_uid": 200_000,
        "groups": [],
        "capabilities": [],
        "no_new_privs": 1,
        "host_name": "self-test",
        "open_fds": [0, 1, 2, 3],
        "environment": ["PATH"],
        "rlimits": {"CORE": 1},
        "tmp_room": [1 << 20, 4096],
        "state_room": [1 << 20, 100],
        "tmp_filled": "ENOSPC",
        "state_filled": "ENOSPC",
        "state_files_made": "ENOSPC",
        "killed_for_memory": True,
        "dies_whole": True,
        "spared": 500,
        "threads": 14,
        "cpu_quota": True,
        "cpu_share": 0.3,
    }
    return good | overrides


def test_right_answers_hold() -> None:
    """Every probe has one."""
    rows = judge(a_report(), a_setup())
    assert len(rows) == len(PROBES)
    assert {row.result for row in rows} == {Verdict.HOLDS}
    assert complaint(rows) is None
    assert "remedy" not in rows[0].as_dict()


@pytest.mark.parametrize("probe", sorted(PROBES))
@pytest.mark.parametrize("answer", ["allowed", None, [], {}, -1, ["x", 1]])
def test_no_answer_but_the_right_one_holds(probe: str, answer: object) -> None:
    """Unknown means no: what the jail says is a claim of hostile code."""
    key = "mounts" if probe.startswith("mounts_") else probe
    right: dict[str, list[object]] = {"groups": [[]], "capabilities": [[]]}
    if answer in right.get(probe, []) or probe == "mounts_no_exec":
        return
    [row] = [row for row in judge(a_report(**{key: answer}), a_setup()) if row.probe == PROBES[probe][1]]
    assert row.result is Verdict.MISSING
    assert row.as_dict()["remedy"]


def test_a_kernel_that_ends_a_process_at_a_time_lacks_no_wall() -> None:
    """On cgroup v1 no file says that a run dies as a whole, and its first process ends its jail; v2 has one."""
    row = {row.probe: row for row in judge(a_report(dies_whole=NOT_HERE), a_setup())}[PROBES["dies_whole"][1]]
    assert row.result is Verdict.HOLDS
    row = {row.probe: row for row in judge(a_report(dies_whole=False), a_setup())}[PROBES["dies_whole"][1]]
    assert row.result is Verdict.MISSING


def test_a_share_over_the_quota_is_none() -> None:
    """Less is what a busy machine gives; more is a quota that does not hold, and so is no work at all."""
    for share, result in ((0.1, Verdict.HOLDS), (0.61, Verdict.MISSING), (0.0, Verdict.MISSING)):
        found = {row.probe: row for row in judge(a_report(cpu_share=share), a_setup())}
        assert found[PROBES["cpu_share"][1]].result is result


def test_an_empty_report_stands_for_nothing() -> None:
    """A jail that says nothing of a wall has none."""
    assert {row.result for row in judge({}, a_setup())} == {Verdict.MISSING}


def test_a_complaint_says_wall_protection_and_remedy_once() -> None:
    """Three failed probes of one wall are one missing wall."""
    rows = judge(a_report(bpf="allowed", keys="allowed", memfd="allowed", host_socket="allowed"), a_setup())
    text = str(complaint(rows))
    assert text.count("jails lack a wall") == 2
    assert text.count(WALLS[Wall.SECCOMP][0]) == 1
    assert "connect to an abstract socket of the host: 'allowed'" in text
    assert "services from a strategy that talks to them: reinstall deskd" in text


def test_a_shared_uid_is_weaker_and_no_failure() -> None:
    """Where the desk may not map uids, strategies are told apart by sockets alone, and groups stay."""
    rows = judge(a_report(groups=[4], owner_of_foreign_file=200_000), a_setup(is_own=True))
    assert complaint(rows) is None
    assert {row.wall for row in rows if row.result is Verdict.WEAKER} == {Wall.UID, Wall.GROUPS}


def test_every_wall_has_a_probe_and_a_remedy() -> None:
    """What nobody tries is no wall."""
    assert {wall for probes in (PROBES, DESK_PROBES) for wall, _, _ in probes.values()} == set(Wall) == set(WALLS)
