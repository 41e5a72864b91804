import ctypes, os
from tries import call, tries

parameter = ctypes.c_int(50)
tries(
    fifo=lambda: call(144, 0, 1, ctypes.byref(parameter)),
    param=lambda: call(142, 0, ctypes.byref(parameter)),
    attr=lambda: call(314, 0, ctypes.byref((ctypes.c_uint32 * 12)(48)), 0),
    nice=lambda: os.nice(-20),
    affinity=lambda: os.sched_setaffinity(0, {0}),
    io=lambda: call(251, 1, 0, (1 << 13) | 0),
    core=lambda: call(157, 62, 1, 0, 0, 0),
)
