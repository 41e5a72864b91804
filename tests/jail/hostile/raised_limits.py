import resource
from tries import call, outcome, report
import ctypes

report(
    **{
        name: outcome(lambda name=name: resource.setrlimit(getattr(resource, name), (1 << 20, 1 << 20)))
        for name in (
            "RLIMIT_NOFILE",
            "RLIMIT_NPROC",
            "RLIMIT_FSIZE",
            "RLIMIT_CORE",
            "RLIMIT_MEMLOCK",
            "RLIMIT_MSGQUEUE",
            "RLIMIT_RTPRIO",
        )
    },
    raw=outcome(lambda: call(302, 0, 7, (ctypes.c_ulonglong * 2)(4096, 4096), 0)),
    old_call=outcome(lambda: call(160, 7, (ctypes.c_ulonglong * 2)(64, 64))),
)
