"""The strategies of the fan-out bench: N real processes, each reading its lines as a member's script does.

usage: python -m tests.bench.readers KIND COUNT FOLDER ADDRESS [FD...]
    KIND     stdin (one FD each), stuck (likewise, and the last one never reads), redis, zmq, nats or grpc
    FOLDER   each writes N.bin there: the nanoseconds from sending to having parsed, one int64 per line

They are forked from one process, so that two hundred start in a second. `ready` is said when all of them listen.
"""

import array
import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

SUBJECT = "lines"
NICE = 10  # as in the desk's jails

type Lines = Iterator[str | bytes]
type Ready = Callable[[], None]


def from_stdin(fd: int, ready: Ready) -> Lines:
    os.dup2(fd, 0)
    os.close(fd)
    sys.stdin = open(0)  # noqa: SIM115  as Python opens it
    ready()
    for line in sys.stdin:  # noqa: UP028  what a member's script does
        yield line


def from_redis(address: str, ready: Ready) -> Lines:
    import redis

    subscription = redis.Redis(unix_socket_path=address).pubsub(ignore_subscribe_messages=True)
    subscription.subscribe(SUBJECT)
    subscription.get_message(timeout=5)
    ready()
    for message in subscription.listen():
        yield message["data"]


def from_zmq(address: str, ready: Ready) -> Lines:
    import zmq

    subscriber = zmq.Context().socket(zmq.SUB)
    subscriber.connect(address)
    subscriber.subscribe(b"")
    ready()
    while True:
        yield subscriber.recv()


def from_grpc(address: str, ready: Ready) -> Lines:
    import grpc

    channel = grpc.insecure_channel(address)
    call = channel.unary_stream("/bench.Lines/Subscribe")(b"", wait_for_ready=True)
    call.initial_metadata()  # waits for the server
    ready()
    yield from call


def read(lines: Lines, folder: str, n: int) -> None:
    """Note how long each line took, until the last one or the signal to stop."""
    took = array.array("q")

    def finish(*_: object) -> None:
        Path(folder, f"{n}.bin").write_bytes(took.tobytes())
        os._exit(0)

    signal.signal(signal.SIGTERM, finish)
    clock = time.monotonic_ns
    for line in lines:
        message = json.loads(line)
        sent = message.get("size", 0)
        if sent > 1:
            took.append(clock() - sent)
        elif sent == 1:
            break
    finish()


def read_nats(address: str, folder: str, n: int, ready: Ready) -> None:
    import nats

    took = array.array("q")

    async def main() -> None:
        over = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, over.set)

        async def on_message(message: object) -> None:
            sent = json.loads(message.data)["size"]  # type: ignore[attr-defined]
            if sent > 1:
                took.append(time.monotonic_ns() - sent)
            elif sent == 1:
                over.set()

        connection = await nats.connect(address)
        await connection.subscribe(SUBJECT, cb=on_message)
        await connection.flush()
        ready()
        await over.wait()

    asyncio.run(main())
    Path(folder, f"{n}.bin").write_bytes(took.tobytes())
    os._exit(0)


def child(kind: str, n: int, folder: str, address: str, *, fds: list[int], ready: Ready) -> None:
    if kind == "nats":
        read_nats(address, folder, n, ready)
    if kind in {"stdin", "stuck"}:
        for other in fds:
            if other != fds[n]:
                os.close(other)
        if kind == "stuck" and n == len(fds) - 1:
            ready()
            signal.pause()
        read(from_stdin(fds[n], ready), folder, n)
    read({"redis": from_redis, "zmq": from_zmq, "grpc": from_grpc}[kind](address, ready), folder, n)


def main() -> None:
    kind, count, folder, address, *fds = sys.argv[1:]
    if kind == "redis":
        import redis  # noqa: F401  once, before the forks
    os.nice(NICE)
    listening, tell = os.pipe()
    children = []
    for n in range(int(count)):
        pid = os.fork()
        if pid == 0:
            os.close(listening)
            child(kind, n, folder, address, fds=[int(fd) for fd in fds], ready=lambda: os.close(tell))
        children.append(pid)
    os.close(tell)
    for fd in fds:
        os.close(int(fd))
    living = set(children)

    def stop(*_: object) -> None:
        for pid in living:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)

    signal.signal(signal.SIGTERM, stop)
    os.read(listening, 1)  # ends when every child has closed its end
    print("ready", flush=True)
    while living:
        living.discard(os.wait()[0])


if __name__ == "__main__":
    main()
