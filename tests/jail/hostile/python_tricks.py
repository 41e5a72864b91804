import os, sys
from tries import outcome, report

report(
    preload=outcome(
        lambda: (
            os.execve(
                sys.executable,
                ["python3", "-c", "print(1)"],
                {"LD_PRELOAD": "/tmp/x.so", "LD_AUDIT": "/tmp/y.so", "GCONV_PATH": "/tmp"},
            )
            if os.fork() == 0
            else os.wait()[1]
        )
    ),
    trace=outcome(lambda: sys.settrace(lambda *a: None)),
    runner=outcome(lambda: open("/venv/runner.py", "w")),
    gdb=outcome(
        lambda: (
            getattr(sys, "remote_exec")(1, "/tmp/x")
            if hasattr(sys, "remote_exec")
            else (_ for _ in ()).throw(OSError(1, ""))
        )
    ),
)
