import socket
from tries import outcome, report

KINDS = (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW, socket.SOCK_SEQPACKET)
got = {
    outcome(lambda family=family, kind=kind: socket.socket(family, kind).close())
    for family in range(47)
    if family != socket.AF_UNIX
    for kind in KINDS
}
report(
    sockets=sorted(got),
    pair=outcome(lambda: socket.socketpair(socket.AF_INET)),
    family_0=outcome(lambda: socket.socket(0, 1)),
    high_bits=outcome(lambda: __import__("tries").call(41, (1 << 32) | 2, 1, 0)),
)
