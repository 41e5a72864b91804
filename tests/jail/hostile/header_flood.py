from tries import knock, outcome, report, status_of


def flood():
    with knock() as door:
        door.sendall(b"GET /clock HTTP/1.1\r\n")
        for number in range(100_000):
            door.sendall(b"X-%d: %s\r\n" % (number, b"a" * 900))
    return "all taken"


START = b"GET /clock HTTP/1.1\r\nHost: desk\r\n"
report(
    endless=outcome(flood),
    many=status_of(START + b"".join(b"X%d: 1\r\n" % n for n in range(60)) + b"\r\n"),
    long=status_of(START + b"X: " + b"a" * 5000 + b"\r\n\r\n"),
    line=status_of(b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\n\r\n"),
    twice=status_of(START + b"X: 1\r\nx: 2\r\n\r\n"),
    body=status_of(b"POST /order HTTP/1.1\r\nHost: d\r\nContent-Length: 20000000\r\n\r\n"),
    gzip=status_of(
        b"POST /order HTTP/1.1\r\nHost: d\r\nContent-Encoding: gzip\r\nContent-Type: application/x-protobuf\r\nContent-Length: 3\r\n\r\nabc"
    ),
)
