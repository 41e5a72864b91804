"""How tables come to fit their page."""

from deskd.cli.layout import LEFT_OUT, Layout, fitted, whole
from deskd.cli.show import ACCOUNTS, FILLS, ORDERS, POSITIONS, STATUS, Columns

PAGE = 100
SENTENCE = "error: it ended with status 1: KeyError: 'missing'; at strategy.py:3: x = {}[\"missing\"]; mend it there"

STATUS_ROW = {
    "strategy_id": "vwap_mean_reversion",
    "user_id": "your-name",
    "status": "running",
    "uptime_s": "13h 59m",
    "lines": "4586/4586",
    "lines_waiting": "12",
    "lines_dropped": "0",
    "memory_bytes": "512 MB",
    "open_orders": "20",
    "equity": "10,000.00",
    "realized_pnl": "-1,234.56",
    "unrealized_pnl": "-1,234.56",
    "note": SENTENCE,
}
ORDER_ROW = {
    "requested_at": "2026-11-27 03:21:11",
    "strategy_id": "limit_order_strategy",
    "side": "buy",
    "qty": "100",
    "symbol": "GOOGL",
    "order_type": "trailing_stop",
    "limit_price": "573.86",
    "status": "partially_filled",
    "filled_qty": "50",
    "avg_fill_price": "573.8600",
    "client_order_id": "c0b79ba7e7bacc294899644cb196ef81",
    "why": "-",
}


def drawn(layout: Layout) -> list[str]:
    """Return the lines, each cell as wide as its column."""
    widths = layout.widths()
    lines = []
    for row in layout.rows:
        lines += [" ".join(cells[key].ljust(width) for key, width in widths.items()) for cells in layout.lines(row)]
        lines += layout.below_lines(row)
    return lines


def some(columns: Columns, text: str) -> dict[str, str]:
    return dict.fromkeys(columns.values(), text)


def test_what_the_desk_shows_every_day_fits_a_hundred_columns() -> None:
    """Strategies, orders, fills, positions and money, with names and figures as long as they usually are."""
    money = some(POSITIONS, "10,000.00") | some(ACCOUNTS, "10,000.00") | {"strategy_id": "vwap_mean_reversion"}
    fill = ORDER_ROW | {"at": ORDER_ROW["requested_at"], "price": "573.8600", "is_internal": "broker"}
    shown = ((STATUS, STATUS_ROW), (ORDERS, ORDER_ROW), (FILLS, fill), (POSITIONS, money), (ACCOUNTS, money))
    for columns, row in shown:
        layout = fitted(columns, [row], PAGE)
        assert max(map(len, drawn(layout))) <= PAGE, columns
        assert len(layout.left_out) <= 3


def test_what_fits_is_left_as_it_is() -> None:
    """Ids in full, times with their year, the sentence in its column."""
    columns = {"requested (UTC)": "requested_at", "order": "client_order_id", "why": "why"}
    row = {key: ORDER_ROW[key] for key in columns.values()}
    assert fitted(columns, [row], PAGE).rows == [row]
    assert drawn(fitted(columns, [row], PAGE)) == [f"{ORDER_ROW['requested_at']} {ORDER_ROW['client_order_id']} -  "]


def test_first_ids_and_times_are_shortened_then_a_sentence_moves_then_columns_go() -> None:
    """The least loss first; and a year is left out only where all rows share it."""
    rows = [ORDER_ROW | {"why": SENTENCE}]
    shown = fitted(ORDERS, rows, 130)
    assert (shown.rows[0]["client_order_id"], shown.rows[0]["requested_at"]) == ("c0b79ba7", "11-27 03:21:11")
    assert shown.below == "why"
    assert shown.left_out == ()
    assert fitted(ORDERS, rows, 105).left_out == ("type",)
    older = ORDER_ROW | {"requested_at": "2025-12-31 23:59:59"}
    assert fitted(ORDERS, [*rows, older], 130).rows[1]["requested_at"] == "2025-12-31 23:59:59"


def test_an_id_is_as_long_as_tells_it_from_the_others() -> None:
    """Every command takes the beginning of an id."""
    rows = [{"client_order_id": name} for name in ("0123456789abcdef", "0123456789xyz", "my-1")]
    shown = fitted({"order": "client_order_id"}, rows, 5).rows
    assert [row["client_order_id"] for row in shown] == ["0123456789a", "0123456789x", "my-1"]


def test_a_sentence_below_its_row_is_told_whole_and_an_empty_one_not_at_all() -> None:
    """No word is lost to the page's edge."""
    layout = fitted(STATUS, [STATUS_ROW, STATUS_ROW | {"note": "-"}], PAGE)
    first, second = (layout.below_lines(row) for row in layout.rows)
    assert " ".join(line.strip() for line in first) == SENTENCE
    assert second == []


def test_what_cannot_fit_is_whole_all_the_same() -> None:
    """Then the terminal folds it."""
    layout = fitted(STATUS, [STATUS_ROW | {"strategy_id": "s" * 200}], PAGE)
    assert not layout.fits()
    assert "s" * 200 in drawn(layout)[0]
    assert {STATUS[title] for title in layout.left_out} == set(LEFT_OUT) & set(STATUS.values())


def test_the_whole_table_has_everything_on_one_line() -> None:
    """For a wide page, and for searching."""
    [line] = drawn(whole(STATUS, [STATUS_ROW]))
    assert all(text in line for text in STATUS_ROW.values())


def test_sentences_share_what_the_other_columns_leave() -> None:
    """A short one takes no more than it needs."""
    columns = {"check": "check", "found": "found", "remedy": "remedy"}
    row = {"check": "jail", "found": "short", "remedy": "word " * 60}
    widths = fitted(columns, [row], PAGE).widths()
    assert widths == {"check": 5, "found": 5, "remedy": 88}


def test_a_word_in_the_place_of_a_time_is_not_cut() -> None:
    """A job that is run by hand has no next time; only years are left out."""
    row = {"name": "backup", "next_at": "by hand", "note": "word " * 60}
    layout = fitted({"job": "name", "next (UTC)": "next_at", "what it found": "note"}, [row], PAGE)
    assert "by hand" in drawn(layout)[0]
