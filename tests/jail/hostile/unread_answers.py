from tries import knock, outcome, report, until_stopped

kept = []


def send():
    for _ in range(10):
        door = knock()
        door.setsockopt(1, 8, 4096)
        door.settimeout(0.2)
        try:
            door.sendall(b"GET /bars?symbol=SPY&timeframe=1Min&limit=1000 HTTP/1.1\r\nHost: d\r\n\r\n" * 50)
        except OSError:
            pass
        kept.append(door)


report(sent=outcome(send))
until_stopped()
