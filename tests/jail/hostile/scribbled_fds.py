import os
from tries import outcome, report, until_stopped

found = {
    f"fd{fd}": outcome(lambda fd=fd: os.write(fd, b"\xffgarbage\n") and "written")
    for fd in range(10)
    if fd not in (1, 2)
}
report(**found)
until_stopped()
