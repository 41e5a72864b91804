import ctypes, os
from tries import call, in_child, libc, outcome, report

FLAGS = {
    "NEWNS": 0x20000,
    "NEWCGROUP": 0x2000000,
    "NEWUTS": 0x4000000,
    "NEWIPC": 0x8000000,
    "NEWUSER": 0x10000000,
    "NEWPID": 0x20000000,
    "NEWNET": 0x40000000,
    "NEWTIME": 0x80,
}
found = {f"unshare_{name}": outcome(lambda flag=flag: call(272, flag)) for name, flag in FLAGS.items()}
found |= {
    f"clone_{name}": outcome(lambda flag=flag: call(56, flag | 17, 0, 0, 0, 0))
    for name, flag in FLAGS.items()
    if name != "NEWTIME"
}
clone3 = (ctypes.c_ulonglong * 8)(0x10000000)
report(
    **found,
    clone3=outcome(lambda: call(435, clone3, 64)),
    setns=outcome(lambda: call(308, 0, 0)),
    high=outcome(lambda: call(56, (1 << 33) | 0x10000011, 0, 0, 0, 0)),
)
