"""The market of the benchmarks: a websocket that sends frames of trades at an even rate to its one client.

usage: python -m tests.bench.source BATCH       says `port N`, then `subscribed`; then reads commands on its input:
    warm RATE SECONDS    messages a second, stamped 0: readers skip them
    go RATE SECONDS      each message's size is the monotonic nanosecond it was sent at; answers `done SENT`
    end                  one last message of size 1: readers end

A frame that could not be sent in time carries the time it was due at: waiting in front of a slow client counts.
"""

import base64
import hashlib
import socket
import struct
import sys
import threading
import time
from typing import Any

import msgpack

SYMBOLS = ("SPY", "AAPL", "MSFT", "QQQ", "IWM", "IBM", "BAC", "KO", "TSLA", "NVDA")
MARK = 2**63  # a size that is found again in the packed frame, and overwritten there
FRAMES = 50  # different ones
LATE_S = 0.005  # a frame later than this is stamped with when it was due


def a_trade(n: int) -> dict[str, Any]:
    return {
        "T": "t",
        "S": SYMBOLS[n % len(SYMBOLS)],
        "i": n,
        "x": "V",
        "p": round(100 + (n * 7919 % 10_000) / 100, 2),
        "s": MARK,
        "c": ["@"],
        "z": "C",
        "t": msgpack.Timestamp(1_795_187_045, 123_456_000 + n * 1_001),
    }


class Frame:
    """One websocket frame whose sizes can be set in place."""

    def __init__(self, first: int, count: int) -> None:
        packed = msgpack.packb([a_trade(n) for n in range(first, first + count)])
        head = bytes([0x82, len(packed)]) if len(packed) < 126 else b"\x82\x7e" + len(packed).to_bytes(2, "big")
        self.data = bytearray(head + packed)
        mark = b"\xcf" + MARK.to_bytes(8, "big")
        self.places = []
        at = self.data.find(mark)
        while at >= 0:
            self.places.append(at + 1)
            at = self.data.find(mark, at + 9)

    def stamped(self, size: int) -> bytearray:
        for place in self.places:
            struct.pack_into(">Q", self.data, place, size)
        return self.data


def read_frame(file: Any) -> tuple[int, bytes]:
    first, second = file.read(2)
    size = second & 127
    if size >= 126:
        size = int.from_bytes(file.read(2 if size == 126 else 8), "big")
    mask = file.read(4)
    return first & 15, bytes(byte ^ mask[i % 4] for i, byte in enumerate(file.read(size)))


def send(client: socket.socket, opcode: int, payload: bytes) -> None:
    assert len(payload) < 2**16
    head = bytes([0x80 | opcode, 126]) + len(payload).to_bytes(2, "big")
    client.sendall(head + payload)


def shake_hands(client: socket.socket, file: Any) -> None:
    key = b""
    while (header := file.readline().strip()) != b"":
        name, _, text = header.partition(b":")
        if name.lower() == b"sec-websocket-key":
            key = text.strip()
    accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
    client.sendall(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
    )
    send(client, 2, msgpack.packb([{"T": "success", "msg": "connected"}]))


def listen(client: socket.socket, file: Any) -> None:
    """Answer what the client says: auth, subscribe, pings."""
    held: dict[str, list[str]] = {}
    try:
        while True:
            opcode, payload = read_frame(file)
            if opcode == 9:
                send(client, 10, payload)
            elif opcode in {1, 2}:
                # the relay says JSON, everybody else msgpack
                if payload[:1] == b"{":
                    message: dict[str, Any] = {"action": "subscribe" if b"subscribe" in payload else "auth"}
                else:
                    message = msgpack.unpackb(payload)
                if message["action"] == "auth":
                    send(client, 2, msgpack.packb([{"T": "success", "msg": "authenticated"}]))
                else:
                    held |= {key: symbols for key, symbols in message.items() if key != "action"}
                    send(client, 2, msgpack.packb([{"T": "subscription", **held}]))
                    print("subscribed", flush=True)
    except (OSError, ValueError):
        return  # the client is gone


def play(client: socket.socket, frames: list[Frame], rate: float, seconds: float, *, is_warm: bool) -> int:
    batch = len(frames[0].places)
    count = max(1, int(rate * seconds / batch))
    interval = batch / rate
    start = time.monotonic()
    for n in range(count):
        due = start + n * interval
        wait = due - time.monotonic()
        if wait > 0:
            time.sleep(wait)
        when = due if wait < -LATE_S else time.monotonic()
        client.sendall(frames[n % FRAMES].stamped(0 if is_warm else int(when * 1e9)))
    return count * batch


def main() -> None:
    batch = int(sys.argv[1])
    frames = [Frame(n * batch, batch) for n in range(FRAMES)]
    server = socket.create_server(("127.0.0.1", 0))
    print("port", server.getsockname()[1], flush=True)
    client, _ = server.accept()
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    file = client.makefile("rb")
    shake_hands(client, file)
    threading.Thread(target=listen, args=(client, file), daemon=True).start()
    for command in sys.stdin:
        match command.split():
            case ["end"]:
                for n in range(len(SYMBOLS)):  # one of each symbol: whatever is conflated, a last one arrives
                    client.sendall(Frame(n, 1).stamped(1))
            case [word, rate, seconds]:
                sent = play(client, frames, float(rate), float(seconds), is_warm=word == "warm")
                print("done", sent, flush=True)
            case _:
                raise SystemExit(f"not a command: {command}")


if __name__ == "__main__":
    main()
