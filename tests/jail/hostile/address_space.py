import ctypes, mmap, resource
from tries import call, libc, outcome, tries

libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]


def mapped(size, flags=0x22, protection=3):
    if libc.mmap(None, size, protection, flags, -1, 0) == ctypes.c_void_p(-1).value:
        raise OSError(ctypes.get_errno(), "")


tries(
    huge=lambda: mapped(64 << 40),
    array=lambda: bytearray(100_000_000_000),
    hugetlb=lambda: mapped(2 << 20, 0x40022),
    locked=lambda: call(149, mmap.mmap(-1, 1 << 20) and ctypes.create_string_buffer(1 << 20), 1 << 20),
    lock_all=lambda: call(151, 3),
    at_zero=lambda: libc.mmap(ctypes.c_void_p(0), 4096, 7, 0x32, -1, 0) == 0 or (_ for _ in ()).throw(OSError(1, "")),
    shared_memory=lambda: call(29, 1, 1 << 30, 0o1600),
    secret=lambda: call(447, 0),
    swap=lambda: call(167, b"/tmp/x", 0),
)
