from tries import knock, outcome, report, until_stopped

ASKS = b"GET /bars?symbol=SPY&timeframe=1Min&limit=1000 HTTP/1.1\r\nHost: d\r\n\r\n" * 50
kept = []


def asked(door):
    """Ask until nobody takes more questions; 400,000 are more than any pipe between us holds."""
    door.setsockopt(1, 8, 4096)  # SO_RCVBUF
    door.settimeout(0.5)
    for _ in range(800):
        door.sendall(ASKS)
    return "all taken"


def send():
    kept.extend(knock() for _ in range(10))
    return [outcome(lambda door=door: asked(door)) for door in kept].count("all taken")


report(all_taken=send())
until_stopped()
