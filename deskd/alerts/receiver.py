"""One message to one receiver, by apprise. It blocks, and its library is slow to import: the worker's threads only.

An address holds secrets: nothing that is returned or logged has any part of it.
"""

import logging
import re
import socket
import threading
from typing import Any
from urllib.parse import unquote, urlsplit

from deskd.alerts.digest import Message
from deskd.domain.notifications import Severity
from deskd.domain.shown import one_line

PROBLEM_MAX = 300
_PART_MIN = 4  # shorter parts of an address are words like `x`: masking them would mask everything
_MASK = "***"
_SPLIT = re.compile(r"[/:@?&=#,]+")
_UNKNOWN = "apprise does not know this kind of address, or it is not whole; `apprise --details` lists them"
_PORTS = {"http": 80, "https": 443}


def send(address: str, message: Message) -> str | None:
    """Return None when the receiver took it, else why not, without any part of the address."""
    import apprise  # noqa: PLC0415  half a second

    asset = apprise.AppriseAsset(app_id="deskd", app_desc="deskd", storage_mode=apprise.PersistentStoreMode.MEMORY)
    heard = _Heard(threading.get_ident())
    logger = logging.getLogger("apprise")
    logger.propagate = False  # its words name addresses
    logger.addHandler(heard)
    try:
        # Apprise's own `notify` shares some threads between all receivers: those that hang would hold up the others.
        receiver = apprise.Apprise.instantiate(address, asset=asset)
        if receiver is None:
            return _UNKNOWN
        kind = {
            Severity.INFO: apprise.NotifyType.INFO,
            Severity.WARNING: apprise.NotifyType.WARNING,
            Severity.CRITICAL: apprise.NotifyType.FAILURE,
        }[message.severity]
        is_sent = receiver.notify(
            title=message.title, body=message.text, notify_type=kind, body_format=apprise.NotifyFormat.TEXT
        )
    except Exception as error:  # noqa: BLE001  a plugin's bug is that receiver's failure, not the worker's
        return masked(f"{type(error).__name__}: {error}", address)
    finally:
        logger.removeHandler(heard)
    if is_sent:
        return None
    return masked("; ".join(heard.words) or "the receiver did not take it", address)


def flaw(address: str) -> str | None:
    """Return what is wrong with the address as it is written; None where a message could be sent there. Nothing is."""
    return _UNKNOWN if _receiver(address) is None else None


def unreachable(address: str, timeout_s: float) -> str | None:
    """Return why its host takes no connection, without naming it; None where it does, or the address names none.

    Nothing is sent: whether the receiver knows us, only a test tells.
    """
    place = _place(_receiver(address))
    if place is None:
        return None
    try:
        socket.create_connection(place, timeout=timeout_s).close()
    except OSError as error:
        return f"its host takes no connection on port {place[1]} ({masked(error.strerror or str(error), address)})"
    return None


def _receiver(address: str) -> Any:
    """Return apprise's receiver of that address; None where it knows none. What it says of the address is not logged."""
    import apprise  # noqa: PLC0415

    logger = logging.getLogger("apprise")
    logger.propagate = False
    heard = _Heard(threading.get_ident())
    logger.addHandler(heard)
    try:
        return apprise.Apprise.instantiate(address)
    finally:
        logger.removeHandler(heard)


def _place(receiver: Any) -> tuple[str, int] | None:
    """Return the host and port that apprise would speak with: the service's own, or the one that the address names."""
    kept = "cloud_notify_url" if getattr(receiver, "mode", None) == "cloud" else "notify_url"
    service = getattr(receiver, kept, None)
    if isinstance(service, str) and "{" not in service:
        parts = urlsplit(service)
        return (parts.hostname, parts.port or _PORTS.get(parts.scheme, 443)) if parts.hostname else None
    mail = getattr(receiver, "smtp_host", None)
    host = mail or getattr(receiver, "host", None)
    if not isinstance(host, str) or not ("." in host or host == "localhost"):
        return None  # what apprise calls a host is a token of many services
    secure = bool(getattr(receiver, "secure", False))
    return host, getattr(receiver, "port", None) or (25 if mail else 443 if secure else 80)


def masked(words: str, address: str) -> str:
    """Return *words* on one line without any part of the address."""
    body = address.partition("://")[2] or address
    parts = {address, body, *_SPLIT.split(body), *_SPLIT.split(unquote(body))}
    parts |= {part for part in (urlsplit(address).netloc, urlsplit(address).path) if part}
    known = sorted((part for part in parts if len(part) >= _PART_MIN), key=len, reverse=True)
    hidden = re.sub("|".join(map(re.escape, known)), _MASK, words, flags=re.IGNORECASE) if known else words
    return one_line(hidden)[:PROBLEM_MAX]


class _Heard(logging.Handler):
    """What apprise says in one thread, warnings and worse."""

    def __init__(self, thread: int) -> None:
        super().__init__(logging.WARNING)
        self._thread = thread
        self.words: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the words, where they are this thread's."""
        if record.thread == self._thread and len(self.words) < 5:
            self.words.append(record.getMessage())
