import ctypes
import mmap
import os
import socket
import time

from tries import call, in_child, knock, outcome, report, tries

shared = os.open("/venv/runner.pyc", os.O_RDONLY)


def is_cached():
    """Ask whether others have read a page of late (RWF_NOWAIT)."""
    room = ctypes.create_string_buffer(10)
    where = (ctypes.c_void_p * 2)(ctypes.addressof(room), 10)
    call(327, shared, where, 1, ctypes.c_long(0), ctypes.c_long(0), 8)


def counter():
    """Read the processor's own counters."""
    code = mmap.mmap(-1, 4096, prot=7)
    code.write(b"\x31\xc9\x0f\x33\xc3")  # xor ecx, ecx; rdpmc; ret
    return ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(code)))()


def clock_of(pid):
    return time.clock_gettime((~pid) << 3 | 2)


tries(
    cached=is_cached,
    evict=lambda: os.posix_fadvise(shared, 0, 0, os.POSIX_FADV_DONTNEED),
    clock_of_next=lambda: clock_of(os.getpid() + 1),
    clock_of_others=lambda: clock_of(4242),
    events=lambda: call(298, (ctypes.c_char * 128)(), -1, 0, -1, 0),
    stat=lambda: open("/proc/stat"),
    pressure=lambda: open("/proc/pressure/cpu"),
    schedule=lambda: open("/proc/schedstat"),
    frequency=lambda: open("/sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq"),
    pin=lambda: os.sched_setaffinity(0, {0}),
)
report(counter=in_child(counter))

# And what nothing but a core of its own would keep from it: how long its own work and its own answers take.
large = bytearray(16 << 20)
end, work, answers = time.monotonic() + 0.7, [], []
with knock() as door:
    while time.monotonic() < end:
        began = time.perf_counter_ns()
        for place in range(0, len(large), 4096):
            large[place] ^= 1
        work.append(time.perf_counter_ns() - began)
        door.sendall(b"GET /clock HTTP/1.1\r\nHost: desk\r\n\r\n")
        door.recv(4096, socket.MSG_TRUNC)
        answers.append(time.perf_counter_ns() - began - work[-1])
report(timed=outcome(lambda: len(work) == len(answers) > 0))
