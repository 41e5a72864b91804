from tries import report, status_of


def varint(number):
    out = b""
    while number > 127:
        out, number = out + bytes([number & 127 | 128]), number >> 7
    return out + bytes([number])


def order(body):
    return status_of(
        b"POST /order HTTP/1.1\r\nHost: d\r\nContent-Type: application/x-protobuf\r\nContent-Length: %d\r\n\r\n"
        % len(body)
        + body
    )


def nested(depth, field=12):
    body = b""
    for _ in range(depth):
        body = varint(field << 3 | 2) + varint(len(body)) + body
        if len(body) > 16_000:
            break
    return body


GOOD = b"\n\x03SPY\x12\x011\x1a\x03buy"
report(
    nested=order(nested(4000)),
    nested_unknown=order(nested(4000, 200)),
    groups=order(b"\xa3\x06" * 8000),
    repeated=order(GOOD[:5] * 3200),
    over=order(b"\n" + varint(17_000) + b"A" * 17_000),
    lying_length=order(b"\n\xff\xff\xff\xff\x0f"),
    negative=order(b"\n" + b"\xff" * 9 + b"\x01"),
    endless_varint=order(b"\xff" * 1000),
    utf8=order(b"\n\x03\xff\xfe\xfd"),
    nul=order(b"\n\x03S\0Y" + GOOD[5:]),
    wrong_type=order(b"\x08\x01"),
    empty=order(b""),
    field_zero=order(b"\0\0"),
    exponent=order(b"\n\x03SPY\x12\x091e9999999\x1a\x03buy"),
    tiny=order(b"\n\x03SPY\x12\x0c1e-999999999\x1a\x03buy"),
    nan=order(b"\n\x03SPY\x12\x03NaN\x1a\x03buy"),
    infinity=order(b"\n\x03SPY\x12\x08Infinity\x1a\x03buy"),
    unicode_digits=order(b"\n\x03SPY\x12\x03\xd9\xa1\x31\x1a\x03buy"),
    long_number=order(b"\n\x03SPY\x12" + varint(9000) + b"9" * 9000 + b"\x1a\x03buy"),
)
