"""What the attacks share: try, and print what it came to. It lies beside each of them in the jail."""

import ctypes
import errno
import json
import os
import socket
import sys
import time

libc = ctypes.CDLL(None, use_errno=True)
DOOR = "/run/desk/order.sock"


def outcome(attempt):
    """Return what the attempt got ("allowed": nothing), or the name of the error that stopped it."""
    try:
        got = attempt()
    except OSError as error:
        return errno.errorcode.get(error.errno, type(error).__name__)
    except (ImportError, MemoryError, OverflowError, RuntimeError, ValueError) as error:
        return type(error).__name__
    return "allowed" if got is None else got


def call(*arguments):
    """Make a system call by its number on x86-64."""
    if libc.syscall(*arguments) == -1:
        raise OSError(ctypes.get_errno(), "")


def tries(**attempts):
    """Make all attempts and report."""
    report(**{name: outcome(attempt) for name, attempt in attempts.items()})


def report(**found):
    """Print one line for the desk's log; whoever runs the attack reads it there."""
    print("TRIED " + json.dumps(found), flush=True)


def in_child(attempt):
    """Return how a forked child that tries it ended: its outcome, or the signal's number."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read)
        os.write(write, json.dumps(outcome(attempt)).encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as said:
        text = said.read()
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status):
        return f"signal {os.WTERMSIG(status)}"
    return json.loads(text)


def knock():
    """Return a connection to the order socket."""
    door = socket.socket(socket.AF_UNIX)
    door.settimeout(5)
    for _ in range(500):
        try:
            door.connect(DOOR)
        except BlockingIOError:  # so many wait already
            time.sleep(0.01)
        else:
            break
    return door


def status_of(raw):
    """Send bytes on a connection of their own; return all statuses that came back, as text."""
    with knock() as door:
        try:
            door.sendall(raw)
            door.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        answer = b""
        try:
            while chunk := door.recv(65536):
                answer += chunk
        except OSError:
            pass
    return (
        " ".join(line.split()[1].decode() for line in answer.split(b"\r\n") if line.startswith(b"HTTP/1.")) or "closed"
    )


def until_stopped():
    """Stay until the desk ends us, deaf to all else."""
    print("HOLDING", flush=True)
    for _ in sys.stdin:
        pass
