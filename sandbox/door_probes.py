"""Tries, in a jail of the desk's own, to take more of the desk itself than a run may: of its order socket, and its log.

For `deskctl jail test`, as `/strategy/strategy.py`, at a door like every run's. One line of standard input says how much to
try; one line of standard output says what came of it. Then it prints more than may be kept.
"""

from __future__ import annotations

import json
import select
import socket
import sys

DOOR = "/run/desk/order.sock"
PATIENCE_S = 5.0
REFUSED_S = 0.3  # who is one too many is told at once
FLOOD_LINES, LINE = 2_048, "x" * 63


def knock() -> socket.socket:
    """Return a connection, when it is our turn in the desk's queue."""
    door = socket.socket(socket.AF_UNIX)
    door.connect(DOOR)
    door.settimeout(PATIENCE_S)
    return door


def status(door: socket.socket) -> str:
    """Return the status of the next answer; nothing where the desk only hangs up."""
    try:
        return door.recv(65_536)[9:12].decode("ascii", "replace")
    except OSError:
        return ""


def a_body(size: int) -> str:
    """Send a request with a body of that size; return the answer's status."""
    with knock() as door:
        try:
            door.sendall(b"POST /order HTTP/1.1\r\nHost: desk\r\nContent-Type: application/x-protobuf\r\n")
            door.sendall(b"Content-Length: %d\r\n\r\n" % size)
            door.sendall(bytes(size))
        except OSError:
            pass  # it may hang up first, and has answered before
        return status(door)


def half_a_request(seconds: float) -> str:
    """Send a header without an end; return what comes of it, or "kept waiting" where nothing does in time."""
    with knock() as door:
        door.settimeout(seconds)
        door.sendall(b"GET /orders HTTP/1.1\r\nHost: ")
        try:
            said = door.recv(65_536)
        except TimeoutError:
            return "kept waiting"
        except OSError:
            return "closed"
    return said[9:12].decode("ascii", "replace") or "closed"


def requests(count: int) -> str:
    """Ask again and again, until we are to wait; return the last status: a desk that is closed refuses by another."""
    got = ""
    with knock() as door:
        for _ in range(count):
            door.sendall(b"GET /orders HTTP/1.1\r\nHost: desk\r\n\r\n")
            if (got := status(door)) in {"429", ""}:
                break
    return got


def connections(count: int) -> int:
    """Open so many; return how many the desk keeps."""
    doors = [knock() for _ in range(count)]
    waiting, refused = select.poll(), set[int]()
    for door in doors:
        waiting.register(door, select.POLLIN | select.POLLHUP)
    while told := waiting.poll(REFUSED_S * 1_000):
        for descriptor, _ in told:
            refused.add(descriptor)
            waiting.unregister(descriptor)
    for door in doors:
        door.close()
    return count - len(refused)


def main() -> None:
    """Try as much as the desk says, then flood its log."""
    most = json.loads(sys.stdin.readline())
    tried = {
        "body": a_body(most["body"]),
        "half_a_request": half_a_request(most["half_a_request_s"]),
        "requests": requests(most["requests"]),
        "connections": connections(most["connections"]),
    }
    print(json.dumps(tried), flush=True)
    for _ in range(FLOOD_LINES):
        print(LINE)


if __name__ == "__main__":
    main()
