import os, socket
from tries import outcome, report, until_stopped

kept = []


def fill():
    while True:
        pair = socket.socketpair()
        kept.extend(pair)
        pair[0].setblocking(False)
        pair[0].setsockopt(1, 7, 1 << 30)
        try:
            while True:
                pair[0].send(bytes(65536))
        except BlockingIOError:
            pass


report(sockets=outcome(fill))
until_stopped()
