from tries import knock, outcome, report, until_stopped


def flood():
    with knock() as door:
        door.settimeout(0.5)
        for _ in range(200):
            door.sendall(b"GET /orders HTTP/1.1\r\nHost: desk\r\n\r\n" * 100)
    return "all taken"


report(flood=outcome(flood))
until_stopped()
