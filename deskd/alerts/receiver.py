"""One message to one receiver, by apprise. It blocks, and its library is slow to import: the worker's threads only.

An address holds secrets: nothing that is returned or logged has any part of it.
"""

import logging
import re
import threading
from urllib.parse import unquote, urlsplit

from deskd.alerts.digest import Message
from deskd.domain.notifications import Severity
from deskd.domain.shown import one_line

PROBLEM_MAX = 300
_PART_MIN = 4  # shorter parts of an address are words like `x`: masking them would mask everything
_MASK = "***"
_SPLIT = re.compile(r"[/:@?&=#,]+")


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
            return "apprise does not know this kind of address, or it is not whole; `apprise --details` lists them"
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
