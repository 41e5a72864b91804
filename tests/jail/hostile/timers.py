import ctypes, os, select
from tries import call, outcome, report, until_stopped

timer = ctypes.c_int()
made = 0


def fill():
    global made
    event = (ctypes.c_int * 16)(0, 0, 0, 1)
    while made < 100_000:
        call(222, 1, event, ctypes.byref(timer))
        made += 1


got = outcome(fill)
polls = []


def epolls():
    while True:
        polls.append(select.epoll())


report(timers=got, epolls=outcome(epolls))
until_stopped()
