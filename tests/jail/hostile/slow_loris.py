import time
from tries import knock, report


def drip(head):
    door = knock()
    door.sendall(head)
    return door


doors = [
    drip(b"GET /clock HTTP/1.1\r\nX: "),
    drip(b"POST /order HTTP/1.1\r\nHost: d\r\nContent-Length: 9\r\n\r\n1"),
    drip(b"G"),
]
closed = 0
for door in doors:
    door.settimeout(0.05)
    for _ in range(200):
        try:
            door.sendall(b"a")
            if not door.recv(4096):
                break
        except TimeoutError:
            continue
        except OSError:
            break
    else:
        continue
    closed += 1
report(closed=closed)
