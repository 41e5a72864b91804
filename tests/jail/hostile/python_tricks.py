import os, shutil, subprocess, sys
from tries import outcome, report

# A child says whether the library that it was told to load is in it: 0 where it is not.
CHILD = """
import ctypes, sys
found = []
class Info(ctypes.Structure):
    _fields_ = [("at", ctypes.c_void_p), ("name", ctypes.c_char_p)]
seen = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(Info), ctypes.c_size_t, ctypes.c_void_p)(
    lambda info, size, data: found.append(info[0].name) or 0
)
ctypes.CDLL(None).dl_iterate_phdr(seen, None)
sys.exit(not found or any(b"brought" in name for name in found))
"""


def loads(variable):
    shutil.copy(next(f"/usr/lib/x86_64-linux-gnu/{name}" for name in ("libm.so.6", "libc.so.6")), "/tmp/brought.so")
    command = [sys.executable, "-c", CHILD]
    return subprocess.run(command, env={variable: "/tmp/brought.so"}, stderr=subprocess.DEVNULL).returncode


def inject():
    """Have an interpreter run a file of ours: it can be asked to from 3.14 on."""
    if not hasattr(sys, "remote_exec"):
        return "absent"
    return sys.remote_exec(1, "/tmp/x")


report(
    preload=outcome(lambda: loads("LD_PRELOAD")),
    audit=outcome(lambda: loads("LD_AUDIT")),
    trace=outcome(lambda: sys.settrace(lambda *a: None)),
    runner=outcome(lambda: open("/venv/runner.py", "w")),
    inject=outcome(inject),
)
