"""Seen: what all others on the machine use together."""

import ctypes

from tries import call, report

info = (ctypes.c_ulong * 32)()
call(99, info)
report(memory=info[4], load=info[1], processes=info[10] & 0xFFFF)
