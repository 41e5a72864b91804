"""Figures and lines as a student reads them."""

import json

_LINE_ID_MAX = 80  # an honest one has some 45


def mib(count: int) -> str:
    """Return bytes as MiB: `512 MiB`, below ten with a tenth."""
    value = count / 2**20
    return f"{value:.1f} MiB" if value < 10 else f"{value:.0f} MiB"


def throttling(used_s: float, span_s: float, cores: float, throttled: int, periods: int) -> str:
    """Return what a busy run used: `used 0.50 of 0.5 cores for 60 s, throttled 598 of 600 periods`."""
    return f"used {used_s / span_s:.2f} of {cores:g} cores for {span_s:.0f} s, throttled {throttled:,} of {periods:,} periods"


def line_id(text: str) -> str:
    """Return by what a line of the feed is found again: `trade AAPL 2026-11-20T15:04:05.123456789Z`; nothing for any other."""
    try:
        line = json.loads(text)
        parts = [line["type"], line.get("symbol", ""), line["timestamp"]]
        shown = " ".join(filter(None, parts))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return ""
    return shown if len(shown) <= _LINE_ID_MAX and shown.isascii() and shown.isprintable() else ""


def last_line(text: str) -> str:
    """Return a line of the feed by what it was about: `AAPL trade of 15:04:05.123`; one that is none as it is, cut."""
    shown_max = 80
    try:
        line = json.loads(text)
        kind, symbol, stamp = line["type"], line.get("symbol", ""), str(line.get("timestamp", ""))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        shown = text.rstrip("\n")
        return shown if len(shown) <= shown_max else shown[:shown_max] + "…"
    what = f"{symbol} {kind}".strip()
    at = stamp.partition("T")[2][:12].rstrip("Z")
    shown = f"{what} of {at}"[: shown_max + 1] if at else what[:shown_max]
    return shown.encode("utf-8", "replace").decode()  # JSON can name halves of characters, which nothing can write down
