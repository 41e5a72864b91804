from tries import report, status_of

BODY = b"\n\x03SPY\x12\x011\x1a\x03buy"
INNER = (
    b"POST /order HTTP/1.1\r\nHost: desk\r\nContent-Type: application/x-protobuf\r\nContent-Length: %d\r\n\r\n"
    % len(BODY)
    + BODY
)


def raw(*headers, body=b"", line=b"POST /clock HTTP/1.1"):
    return b"\r\n".join([line, b"Host: desk", *headers, b"", b""]) + body


CL0 = b"Content-Length: 0"
report(
    cl_te=status_of(raw(CL0, b"Transfer-Encoding: chunked", body=b"0\r\n\r\n" + INNER)),
    te_cl=status_of(raw(b"Transfer-Encoding: chunked", b"Content-Length: 4", body=b"0\r\n\r\n" + INNER)),
    te_te=status_of(raw(b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity", body=b"0\r\n\r\n" + INNER)),
    te_tab=status_of(raw(b"Transfer-Encoding:\tchunked", body=b"0\r\n\r\n" + INNER)),
    two_lengths=status_of(raw(CL0, b"Content-Length: 5", body=INNER)),
    list_length=status_of(raw(b"Content-Length: 0, 5", body=INNER)),
    signed=status_of(raw(b"Content-Length: +0", body=INNER)),
    negative=status_of(raw(b"Content-Length: -1", body=INNER)),
    spaced=status_of(raw(b"Content-Length : 0", body=INNER)),
    folded=status_of(raw(b"X: a", b" Content-Length: 5", body=INNER)),
    hexa=status_of(raw(b"Content-Length: 0x0", body=INNER)),
    huge=status_of(raw(b"Content-Length: 99999999999999999999", body=INNER)),
    bare_lf=status_of(b"POST /clock HTTP/1.1\nHost: desk\nContent-Length: 0\n\n" + INNER),
    nul=status_of(raw(b"X: \0", CL0, body=INNER)),
    version=status_of(raw(CL0, line=b"POST /clock HTTP/9.9", body=INNER)),
    absolute=status_of(raw(CL0, line=b"POST http://evil/order HTTP/1.1", body=INNER)),
    connect=status_of(raw(CL0, line=b"CONNECT evil:80 HTTP/1.1", body=INNER)),
    upgrade=status_of(raw(b"Upgrade: websocket", b"Connection: Upgrade", CL0, line=b"GET / HTTP/1.1")),
    http2=status_of(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    http09=status_of(b"GET /\r\n"),
    tls=status_of(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
)
