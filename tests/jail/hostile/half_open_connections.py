import socket
from tries import knock, outcome, report, status_of, until_stopped

kept = []
for number in range(14):
    door = knock()
    if number % 2:
        door.shutdown(socket.SHUT_WR if number % 4 == 1 else socket.SHUT_RD)
    kept.append(door)
for _ in range(200):
    outcome(lambda: knock().close())
report(after=status_of(b"GET /clock HTTP/1.1\r\nHost: desk\r\n\r\n"))
until_stopped()
