import os, socket
from tries import knock, outcome, report, until_stopped

kept, served, refused = [], 0, 0
for _ in range(48):
    try:
        door = knock()
        door.settimeout(2)
        door.sendall(b"GET /clock HTTP/1.1\r\nHost: desk\r\n\r\n")
        head = door.recv(64)
    except OSError:
        refused += 1
        continue
    served, refused = served + (b" 200 " in head or b" 429 " in head), refused + (b" 503 " in head or not head)
    kept.append(door)
report(served=served, refused=refused)
until_stopped()
