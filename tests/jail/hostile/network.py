import os, socket
from tries import tries


def abstract():
    with socket.socket(socket.AF_UNIX) as peer:
        peer.connect("\0" + os.environ["ABSTRACT"])


def datagram():
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as peer:
        peer.sendto(b"x", "\0" + os.environ["ABSTRACT"])


tries(
    abstract=abstract,
    datagram=datagram,
    loopback=lambda: socket.create_connection(("127.0.0.1", int(os.environ["PORT"]))).close(),
    metadata=lambda: socket.create_connection(("169.254.169.254", 80), 0.2).close(),
    dns=lambda: socket.getaddrinfo("example.com", 80),
    bind=lambda: socket.create_server(("0.0.0.0", 0)).close(),
    syslog=lambda: socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).connect("/dev/log"),
    interfaces=lambda: socket.if_nameindex(),
)
