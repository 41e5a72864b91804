"""Short turns on a core: this thread and what it starts, in a process of its own, so that the tests' own turns stay."""

import subprocess
import sys

ASKS = """
import ctypes, os, platform, struct, subprocess, sys
from deskd.app.time_slice import SLICE_NS, ask_for_short_turns
READS = '''
import ctypes, platform, struct
out = ctypes.create_string_buffer(56)
number = {"x86_64": 315, "aarch64": 275}[platform.machine()]
assert ctypes.CDLL(None).syscall(number, 0, out, 56, 0) == 0
print(struct.unpack_from("=IIQiIQ", out)[5])
'''
assert ask_for_short_turns()
print(os.getpriority(os.PRIO_PROCESS, 0) == int(sys.argv[1]))
subprocess.run([sys.executable, "-c", READS], check=True)
"""


def test_the_wish_is_inherited_and_changes_no_priority() -> None:
    """A child has the turns of who started it; how nice it is stays. Where the kernel is older it takes no wish."""
    nice = "import os; print(os.getpriority(os.PRIO_PROCESS, 0))"
    before = subprocess.run([sys.executable, "-c", nice], capture_output=True, text=True, check=True).stdout.strip()
    said = subprocess.run([sys.executable, "-c", ASKS, before], capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr
    is_as_nice, slice_ns = said.stdout.split()
    assert is_as_nice == "True"
    assert int(slice_ns) in {0, 100_000}  # kernels before 6.12 keep nothing of it


GOES_FIRST = """
import os
from deskd.app.time_slice import FIRST, ask_for_short_turns

def niceness():
    return os.getpriority(os.PRIO_PROCESS, 0)

def may_go_first():
    if not os.fork():
        try:
            os.setpriority(os.PRIO_PROCESS, 0, FIRST)
        except OSError:
            os._exit(1)
        os._exit(0)
    return os.wait()[1] == 0

before, may = niceness(), may_go_first()
assert ask_for_short_turns(goes_first=True)
print(niceness() == (FIRST if may and before == 0 else before))
os.setpriority(os.PRIO_PROCESS, 0, 15)
assert ask_for_short_turns(goes_first=True)
print(niceness())
"""


def test_a_desk_goes_before_its_runs_where_it_may_and_nobody_wished_otherwise() -> None:
    """Who started it with a nice value of his own gets that; without the right to more it is as it was."""
    said = subprocess.run([sys.executable, "-c", GOES_FIRST], capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr
    assert said.stdout.split() == ["True", "15"]
