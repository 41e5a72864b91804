from tries import report, status_of


def ask(target, method=b"GET", *headers):
    return status_of(b"\r\n".join([method + b" " + target + b" HTTP/1.1", b"Host: desk", *headers, b"", b""]))


report(
    dots=ask(b"/orders/..%2f..%2fetc%2fshadow"),
    plain_dots=ask(b"/../../etc/shadow"),
    nul=ask(b"/orders/%00"),
    unicode=ask(b"/orders/%ff%fe"),
    raw=ask(b"/orders/\xff"),
    long=ask(b"/orders/" + b"a" * 1500),
    control=ask(b"/control/status"),
    status=ask(b"/status"),
    stop=ask(b"/stop", b"POST", b"Content-Length: 0"),
    limit=ask(b"/orders?limit=999999999999"),
    trace=ask(b"/orders", b"TRACE"),
    victims=ask(b"/orders/victim-1"),
    cancel_victims=ask(b"/orders/victim-1", b"DELETE"),
    as_victim=ask(b"/account", b"GET", b"X-User-ID: victim"),
    strategy=ask(b"/orders/victim-1", b"GET", b"X-Strategy-ID: victim"),
)
