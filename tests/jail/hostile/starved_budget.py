import threading, time
from tries import knock, outcome, report, until_stopped

BODY = b"\n\x03SPY\x12\x011\x1a\x03buy"
CALL = (
    b"POST /order HTTP/1.1\r\nHost: d\r\nContent-Type: application/x-protobuf\r\nContent-Length: %d\r\n\r\n" % len(BODY)
    + BODY
)
statuses = {}


def flood():
    end = time.monotonic() + 0.7
    with knock() as door:
        while time.monotonic() < end:
            door.sendall(CALL)
            head = door.recv(4096)
            status = head[9:12].decode()
            statuses[status] = statuses.get(status, 0) + 1


threads = [threading.Thread(target=lambda: outcome(flood)) for _ in range(12)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
report(limited=statuses.get("429", 0) > 0, at_most_60=statuses.get("200", 0) <= 60)
until_stopped()
