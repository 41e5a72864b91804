"""The exchange misbehaving on purpose, for tests. Nothing here is reachable unless the process was started with faults.

1. A rule for REST applies to the next `times` requests that match its method and path, or to all of `for_s` seconds
   from the first on; then it is spent.
2. What a stream does wrong, it does to all of its connections alike.
"""

from collections.abc import Sequence

import msgspec

from deskd.venue.faults_account import AccountOrder, PositionsLag


class RestRule(msgspec.Struct, forbid_unknown_fields=True):
    """What happens to the next *times* requests of *method* (any) whose path starts with *path*."""

    method: str | None = None
    path: str = "/"
    times: int = 1
    for_s: float = 0.0  # in place of `times`: so long, counted from the first request that it hits
    delay_s: float = 0.0  # before the request is looked at
    answer_delay_s: float = 0.0  # after it is done and durable, before it is answered: its events overtake the answer
    status: int = 0  # answer this instead; 0: the true answer
    cut: bool = False  # cut the connection instead of answering
    after_accepting: bool = False  # status and cut come after the request was done, not in its place
    ends_at: float = 0.0  # of `for_s`, on the loop's clock

    def is_over(self, now: float) -> bool:
        """Tell whether a rule of so many seconds is spent; its time begins with the first question."""
        if self.for_s and not self.ends_at:
            self.ends_at = now + self.for_s
        return bool(self.for_s) and now >= self.ends_at


class StreamFaults(msgspec.Struct, forbid_unknown_fields=True):
    """What one of the streams does wrong."""

    mute: bool = False  # connections stay, nothing is sent
    black_hole: bool = False  # nothing is read or written, nothing is closed; handshakes hang
    drop_next: int = 0  # so many next messages are lost
    duplicate: bool = False  # each message twice
    reorder: bool = False  # each message after the next one
    delay_s: float = 0.0
    refuse_handshakes: int = 0  # so many next handshakes get HTTP 429
    refuse_handshakes_s: float = 0.0  # so do all of so many seconds, counted from the first
    retry_after_s: int = 0  # in the header of these answers; 0: no header
    refuse_auth: int = 0  # so many next authentications fail: 402, unauthorized
    auth_errors: list[int] = []  # data: the next authentications are answered with these codes, one each
    held: list[object] = []  # by `reorder`, until the next message comes
    ends_at: float = 0.0  # of `refuse_handshakes_s`, on the loop's clock

    def shape[T](self, messages: Sequence[T]) -> list[T]:
        """Return what is really sent in place of *messages*."""
        if self.mute:
            return []
        lost = min(self.drop_next, len(messages))
        self.drop_next -= lost
        messages = messages[lost:]
        shaped = [message for message in messages for _ in range(1 + self.duplicate)]
        if not self.reorder:
            return shaped
        sent: list[T] = []
        for message in shaped:
            if self.held:
                sent += [message, self.held.pop()]  # type: ignore[list-item]  # held only ever has messages of this stream
            else:
                self.held.append(message)
        return sent

    def refuses_handshake(self, now: float) -> bool:
        """Tell whether this handshake is to be refused, and count it."""
        if self.refuse_handshakes_s:
            self.ends_at = self.ends_at or now + self.refuse_handshakes_s
            if now < self.ends_at:
                return True
        self.refuse_handshakes, is_refused = max(0, self.refuse_handshakes - 1), self.refuse_handshakes > 0
        return is_refused

    def refuses_auth(self) -> bool:
        """Tell whether this authentication is to be refused, and count it."""
        self.refuse_auth, is_refused = max(0, self.refuse_auth - 1), self.refuse_auth > 0
        return is_refused

    def auth_error(self) -> int:
        """Return the code with which this authentication is answered in place of the true answer; 0: the true one."""
        if self.auth_errors:
            return self.auth_errors.pop(0)
        return 402 if self.refuses_auth() else 0


class StreamOrder(msgspec.Struct, forbid_unknown_fields=True):
    """Something to do to a stream's connections now."""

    drop: bool = False  # cut them without a word
    close: int | None = None  # data: this error, then close; trade: close with this websocket code
    error: int | None = None  # data: this error, and nothing more; trade: an error message


class Rejection(msgspec.Struct, forbid_unknown_fields=True):
    """The next order of *symbol* is taken, then rejected with *reason*."""

    symbol: str
    reason: str = "rejected by a test"


class Crowd(msgspec.Struct, forbid_unknown_fields=True):
    """Others use the account: from now on so many requests a minute pass, and of this minute's some are used."""

    per_minute: int
    used: int = 0
    ends_in_s: float = 60.0  # this minute


class FaultsOrder(msgspec.Struct, forbid_unknown_fields=True):
    """The body of POST /faults: what is named is replaced, the rest stays."""

    rest: list[RestRule] | None = None
    trade_stream: StreamFaults | None = None
    data_stream: StreamFaults | None = None
    trade_stream_now: StreamOrder | None = None
    data_stream_now: StreamOrder | None = None
    reject_next: Rejection | None = None
    account: AccountOrder | None = None
    crowd: Crowd | None = None


class Faults:
    """What is wrong at present."""

    def __init__(self) -> None:
        self.rest: list[RestRule] = []
        self.trade_stream = StreamFaults()
        self.data_stream = StreamFaults()
        self.positions = PositionsLag()
        self.crowd: Crowd | None = None  # until the server has taken it over

    def take_rule(self, method: str, path: str, now: float) -> RestRule | None:
        """Return the first rule for this request, and count its use."""
        for rule in list(self.rest):
            if rule.method not in {None, method} or not path.startswith(rule.path):
                continue
            if rule.is_over(now):
                self.rest.remove(rule)
                continue
            if not rule.for_s:
                rule.times -= 1
                if rule.times <= 0:
                    self.rest.remove(rule)
            return rule
        return None

    def set(self, order: FaultsOrder) -> None:
        """Replace what *order* names."""
        if order.rest is not None:
            self.rest = order.rest
        if order.trade_stream is not None:
            self.trade_stream = order.trade_stream
        if order.data_stream is not None:
            self.data_stream = order.data_stream
        if order.crowd is not None:
            self.crowd = order.crowd

    def clear(self) -> None:
        """Behave well again."""
        self.rest, self.trade_stream, self.data_stream = [], StreamFaults(), StreamFaults()
