"""How a table comes to fit its page: ids and times are shortened, a sentence moves below its row, columns are left out."""

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from textwrap import wrap

type Texts = Mapping[str, str]  # one row: key of the column, and what stands in its cell
type Columns = Mapping[str, str]  # title: key in the row

IDS = frozenset({"client_order_id"})
INSTANTS = frozenset(
    "requested_at at started_at kept_at chosen_at opened_at closed_at next_at last_at".split()  # noqa: SIM905
)  # their titles name the zone; they stand to the left
BELOW = frozenset({"why", "note"})  # sentences that may stand below their row
SENTENCES = BELOW | {
    "remedy",
    "found",
    "affected",
    "lasted",
    "title",
    "problem",
    "value",
    "from",
    "old",
    "new",
}
LEFT_OUT = (
    "fees",
    "unrealized_pnl",
    "realized_pnl",
    "lines_dropped",
    "order_type",
    "limit_price",
)  # the first goes first

_LEAST, _LEAST_BELOW = 24, 60  # columns; a sentence in fewer is a column of words
_ID_SHOWN = 8  # the least of an order's id; any command takes the beginning of an id
_YEAR = len("2026-")
_INDENT = "    "
_NOTHING = "-"


@dataclass(frozen=True, slots=True)
class Layout:
    """What is shown, and where."""

    columns: Columns
    rows: Sequence[Texts]
    page: int
    below: str | None = None  # the key of the sentence below its row
    left_out: tuple[str, ...] = ()  # titles

    def fits(self) -> bool:
        """Return whether no line needs to be longer than the page."""
        return sum(self._least().values()) + len(self.columns) - 1 <= self.page

    def widths(self) -> dict[str, int]:
        """Return how wide each column is: sentences share what the others leave."""
        natural, least = self._natural(), self._least()
        sentences = sorted(SENTENCES & natural.keys(), key=lambda key: (natural[key], key))
        rest = self.page - (len(natural) - 1) - sum(width for key, width in natural.items() if key not in SENTENCES)
        for left, key in zip(range(len(sentences), 0, -1), sentences, strict=True):
            natural[key] = max(least[key], min(natural[key], rest // left))
            rest -= natural[key]
        return natural

    def lines(self, row: Texts) -> Iterator[dict[str, str]]:
        """Yield the lines of the row, what stands below it not among them."""
        widths = self.widths()
        cells = {key: _wrapped(key, row[key], widths[key]) for key in self.columns.values()}
        for number in range(max(map(len, cells.values()), default=0)):
            yield {key: parts[number] if number < len(parts) else "" for key, parts in cells.items()}

    def below_lines(self, row: Texts) -> list[str]:
        """Return the lines of the sentence below the row."""
        if self.below is None or row[self.below] == _NOTHING:
            return []
        width = max(self.page, _LEAST) - len(_INDENT)
        return [f"{_INDENT}{line}" for line in wrap(row[self.below], width, break_on_hyphens=False)]

    def _natural(self) -> dict[str, int]:
        return {
            key: max(len(title), *(len(row[key]) for row in self.rows)) if self.rows else len(title)
            for title, key in self.columns.items()
        }

    def _least(self) -> dict[str, int]:
        bounds = dict.fromkeys(SENTENCES, _LEAST) | dict.fromkeys(BELOW, _LEAST_BELOW)
        return {key: min(width, bounds.get(key, width)) for key, width in self._natural().items()}


def fitted(columns: Columns, rows: Sequence[Texts], page: int) -> Layout:
    """Return the table as it fits *page*; what cannot fit is wider, for nothing is ever cut off."""
    layout = Layout(columns, rows, page)
    if layout.fits():
        return layout
    layout = replace(layout, rows=_shortened(columns, rows))
    if not layout.fits():
        layout = _with_a_sentence_below(layout)
    for key in LEFT_OUT:
        if layout.fits():
            break
        layout = _without(layout, key)
    return layout


def whole(columns: Columns, rows: Sequence[Texts]) -> Layout:
    """Return the table with every column, id and sentence in full, however wide that is."""
    layout = Layout(columns, rows, page=0)
    return replace(layout, page=sum(layout._natural().values()) + len(columns) - 1)  # noqa: SLF001


def _wrapped(key: str, text: str, width: int) -> list[str]:
    return wrap(text, width, break_on_hyphens=False) or [""] if key in SENTENCES else [text]


def _with_a_sentence_below(layout: Layout) -> Layout:
    below = next((key for key in layout.columns.values() if key in BELOW), None)
    columns = {title: key for title, key in layout.columns.items() if key != below}
    return replace(layout, columns=columns, below=below)


def _without(layout: Layout, key: str) -> Layout:
    titles = tuple(title for title, known in layout.columns.items() if known == key)
    columns = {title: known for title, known in layout.columns.items() if known != key}
    return replace(layout, columns=columns, left_out=(*layout.left_out, *titles))


def _shortened(columns: Columns, rows: Sequence[Texts]) -> list[Texts]:
    """Return the rows with as much of an order's id as tells it from the others, and of times no year that all share."""
    ids, instants = (shortened & set(columns.values()) for shortened in (IDS, INSTANTS))
    one_year = {key for key in instants if _is_one_year({row[key][:_YEAR] for row in rows if row[key] != _NOTHING})}
    return [
        {
            **row,
            **{key: _beginning(row[key], key, rows) for key in ids},
            **{key: row[key] if row[key] == _NOTHING else row[key][_YEAR:] for key in one_year},
        }
        for row in rows
    ]


def _is_one_year(beginnings: AbstractSet[str]) -> bool:
    return len(beginnings) == 1 and next(iter(beginnings))[:-1].isdigit()  # and not a word that stands for a time


def _beginning(name: str, key: str, rows: Sequence[Texts]) -> str:
    others = [row[key] for row in rows if row[key] != name]
    length = _ID_SHOWN
    while any(other.startswith(name[:length]) for other in others) and length < len(name):
        length += 1
    return name[:length]
