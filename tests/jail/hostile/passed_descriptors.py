import array, os, socket
from tries import knock, outcome, report, until_stopped


def flood():
    with knock() as door:
        for _ in range(300):
            fds = array.array("i", [os.open("/dev/null", os.O_RDONLY) for _ in range(16)])
            door.sendmsg([b"G"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)])
            for fd in fds:
                os.close(fd)


report(flood=outcome(flood))
until_stopped()
