import ctypes, os
from tries import call, tries

remote = ctypes.create_string_buffer(16)
tries(
    attach=lambda: call(101, 16, 1, 0, 0),
    seize=lambda: call(101, 0x4206, 1, 0, 0),
    traceme=lambda: call(101, 0, 0, 0, 0),
    read=lambda: call(310, 1, remote, 1, remote, 1, 0),
    write=lambda: call(311, 1, remote, 1, remote, 1, 0),
    kcmp=lambda: call(312, 1, 1, 0, 0, 0),
    pidfd_getfd=lambda: call(438, 3, 0, 0),
    madvise=lambda: call(440, 3, 0, 0, 0, 0),
)
