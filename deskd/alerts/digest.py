"""Several notifications as one message: fills summed up, the rest a line or two each. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from deskd.alerts.wording import averaged
from deskd.domain.notifications import Notification, Severity, Trade

LINES_MAX = 40  # of a digest: a receiver cuts or refuses what is longer
TEXT_MAX = 6_000  # characters
_RANK = tuple(Severity)


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What a receiver shows."""

    title: str
    text: str
    severity: Severity


def message(desk: str, notes: Sequence[Notification]) -> Message:
    """Return the one message that tells all of *notes*, which are of one topic and not none."""
    first = notes[0]
    if len(notes) == 1:
        stamp = f"{first.at:%Y-%m-%d %H:%M:%S} UTC"
        return Message(title=f"[{desk}] {first.title}", text=_cut(f"{first.text}\n{stamp}"), severity=first.severity)
    severity = max((note.severity for note in notes), key=_RANK.index)
    lines = _lines(notes)
    shown = lines[:LINES_MAX]
    if len(lines) > LINES_MAX:
        shown.append(f"... and {len(lines) - LINES_MAX} more: deskctl notify list")
    span = f"{first.at:%H:%M:%S} to {notes[-1].at:%H:%M:%S} UTC"
    title = f"[{desk}] {first.topic}: {len(notes)} notifications, {span}"
    return Message(title=title, text=_cut("\n".join(shown)), severity=severity)


def _lines(notes: Sequence[Notification]) -> list[str]:
    """Return a line each, the fills of one strategy, side and symbol as one, where the first of them stands."""
    fills: dict[tuple[object, ...], list[Trade]] = {}
    for note in notes:
        if note.trade is not None:
            fills.setdefault((note.strategy, note.trade.side, note.trade.symbol), []).append(note.trade)
    lines = []
    for note in notes:
        if note.trade is None:
            lines.append(f"{note.at:%H:%M:%S} {note.title}: {' '.join(note.text.splitlines())}")
            continue
        trades = fills.pop((note.strategy, note.trade.side, note.trade.symbol), [])
        if trades:
            lines.append(note.title if len(trades) == 1 else f"{note.strategy} {averaged(trades)}")
    return lines


def _cut(text: str) -> str:
    return text if len(text) <= TEXT_MAX else f"{text[:TEXT_MAX]}…"
