"""The callers of the orders bench.

usage: python -m tests.bench.callers load FORM SECONDS ADDRESS...     one process, a bare keep-alive connection each
       python -m tests.bench.callers place FORM SECONDS ADDRESS...    one process each, desk_client's place_order
    FORM      small (passes the gate), large (the gate denies it), json (small, for the peers): all buy
    ADDRESS   the path of a Unix socket, or 127.0.0.1:PORT

Each sends its next order when it has the answer to the last. Says `took STATUS=COUNT,... NS...`.
"""

import array
import asyncio
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

QTY = {"small": "1", "large": "900000", "json": "1"}
WARM_S = 0.3


def an_id(n: int) -> str:
    """Name the order by its caller and by when it is sent: the desk's side reads that."""
    return f"{n}-{os.getpid()}-{time.monotonic_ns()}"


def orders(form: str, n: int) -> Iterator[bytes]:
    """Make the requests of one caller."""
    from deskd.wire.pb import order_pb2 as pb

    kind = "application/json" if form == "json" else "application/x-protobuf"
    head = f"POST /order HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\nContent-Length: "
    while True:
        fields: dict[str, Any] = {"client_order_id": an_id(n), "symbol": "AAPL", "qty": QTY[form], "side": "buy"}
        body = json.dumps(fields).encode() if form == "json" else pb.OrderRequest(**fields).SerializeToString()
        yield f"{head}{len(body)}\r\n\r\n".encode() + body


class Caller(asyncio.Protocol):
    """One connection: an order, its answer, the next order."""

    def __init__(self, requests: Iterator[bytes], took: "array.array[int]", statuses: Counter[str]) -> None:
        self._requests = requests
        self._took = took
        self._statuses = statuses
        self._data = b""
        self._sent = 0
        self.counts_from = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._next()

    def _next(self) -> None:
        request = next(self._requests)
        self._sent = time.monotonic_ns()
        self._transport.write(request)  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        self._data += data
        head, end, body = self._data.partition(b"\r\n\r\n")
        if not end:
            return
        length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
        if len(body) < int(length):
            return
        self._data = b""
        now = time.monotonic_ns()
        if now > self.counts_from:
            self._took.append(now - self._sent)
            self._statuses[head[9:12].decode()] += 1
        self._next()

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is not None:
            self._statuses["lost"] += 1


async def load(form: str, seconds: float, addresses: list[str]) -> tuple[Counter[str], "array.array[int]"]:
    took: array.array[int] = array.array("q")
    statuses: Counter[str] = Counter()
    loop = asyncio.get_running_loop()
    began = time.monotonic_ns() + int(WARM_S * 1e9)
    transports = []
    for n, address in enumerate(addresses):
        caller = Caller(orders(form, n), took, statuses)
        caller.counts_from = began
        if address.startswith("/"):
            transport, _ = await loop.create_unix_connection(lambda caller=caller: caller, address)  # type: ignore[misc]
        else:
            host, _, port = address.partition(":")
            transport, _ = await loop.create_connection(lambda caller=caller: caller, host, int(port))  # type: ignore[misc]
        transports.append(transport)
    await asyncio.sleep(WARM_S + seconds)
    for transport in transports:
        transport.abort()
    return statuses, took


def place(form: str, seconds: float, address: str, n: int) -> tuple[Counter[str], "array.array[int]"]:
    """Call place_order as a strategy does, again and again."""
    os.environ["DESK_SERVER_URL"] = f"unix://{address}"
    from desk_client import place_order

    took: array.array[int] = array.array("q")
    statuses: Counter[str] = Counter()
    began = time.monotonic() + WARM_S
    while (start := time.monotonic()) < began + seconds:
        answer = place_order("AAPL", QTY[form], "buy", client_order_id=an_id(n))
        if start >= began:
            took.append(int((time.monotonic() - start) * 1e9))
            statuses[answer.status] += 1
    return statuses, took


def place_all(form: str, seconds: float, addresses: list[str]) -> tuple[Counter[str], "array.array[int]"]:
    """Fork a process for each address; gather what they saw."""
    children = []
    for n, address in enumerate(addresses):
        reads, writes = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(reads)
            statuses, took = place(form, seconds, address, n)
            with os.fdopen(writes, "w") as out:
                json.dump([statuses, list(took)], out)
            os._exit(0)
        os.close(writes)
        children.append((pid, reads))
    all_statuses: Counter[str] = Counter()
    all_took: array.array[int] = array.array("q")
    for pid, reads in children:
        with os.fdopen(reads) as said:
            statuses, took = json.load(said)
        os.waitpid(pid, 0)
        all_statuses.update(statuses)
        all_took.extend(took)
    return all_statuses, all_took


def main() -> None:
    how, form, seconds, *addresses = sys.argv[1:]
    if how == "place":
        statuses, took = place_all(form, float(seconds), addresses)
    else:
        import uvloop

        statuses, took = uvloop.run(load(form, float(seconds), addresses))
    print("took", ",".join(f"{status}={n}" for status, n in statuses.items()) or "nothing", *took, flush=True)


if __name__ == "__main__":
    main()
