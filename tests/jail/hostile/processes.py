import os, signal
from tries import call, outcome, tries


def scan():
    return sum(outcome(lambda pid=pid: os.kill(pid, 0)) != "ESRCH" for pid in range(2, 40_000))


tries(
    proc=lambda: os.listdir("/proc"),
    environ=lambda: open("/proc/1/environ").read(),
    all=lambda: os.kill(-1, signal.SIGKILL),
    others=scan,
    parent=os.getppid,
    group=lambda: os.killpg(2, 9),
    pidfd=lambda: os.pidfd_open(2),
    session=lambda: os.getsid(2),
    priority=lambda: os.setpriority(os.PRIO_USER, 0, 19),
)
