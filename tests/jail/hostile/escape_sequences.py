import os
from tries import report

os.write(
    1, b"\x1b]0;owned\x07\x1b[2J\x1b[1;1H\x9b31m\x1bP\x1b\\ \r\x08\x08 desk ready \x00 \xff\xfe \xe2\x80\xae reversed\n"
)
os.write(2, b"\x1b[?1049h 2026-01-01T00:00:00.000Z desk forged line\r\n")
report(done=1)
