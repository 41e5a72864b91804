"""`deskctl why`: one order's story, one page."""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from textwrap import wrap
from typing import Any

import click

from deskd.cli import show
from deskd.cli.call import Call, json_option, pass_call
from deskd.cli.client import quoted

PAGE = 100  # columns
WORDS = 36  # of them for what happened
HASH_SHOWN = 8  # digits: enough to find the entry

type View = dict[str, Any]


@click.command()
@click.argument("order")
@click.option(
    "--db",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    metavar="FILE",
    help="Read this ledger, or a copy of one; no desk needs to run.",
)
@json_option
@pass_call
def why(call: Call, order: str, *, db: Path | None, as_json: bool) -> None:
    """Tell the story of an order: request, checks, every fact, fills, how it ended, what to do.

    ORDER is a client_order_id, the broker's id, or the beginning of one.
    """
    if not order.strip("./ "):  # the path of a request would lose it
        raise click.UsageError(f"ORDER: {order!r} is no order's id; `deskctl orders` lists them")
    page = call.desk().look(f"/why/{quoted(order)}") if db is None else _read(db, order)
    if as_json:
        show.as_json(page)
    else:
        click.echo("\n".join(lines(page)))


def _read(db: Path, order: str) -> View:
    from deskd.cli.client import NotDone
    from deskd.control.names import NoSuchName
    from deskd.control.order_page import order_page
    from deskd.domain.errors import LedgerError
    from deskd.ledger.fact_reader import FactReader

    try:
        with FactReader(db) as history:
            return order_page(history, order, lambda _user_id: True)
    except (NoSuchName, LookupError, LedgerError) as error:
        raise NotDone(str(error)) from None


def lines(page: View) -> Iterator[str]:
    """Yield the page, line by line, PAGE columns wide."""
    page = show.safe_page(page)
    yield from _head(page)
    if page["market"] is not None:
        yield from _market(page["market"])
    yield from _checks(page)
    yield from _timeline(page["timeline"])
    if page["fills"]:
        yield from _fills(page["fills"])
    yield from _related(page)
    yield from _around(page)


def _head(page: View) -> Iterator[str]:
    yield _title(f"Order {page['client_order_id']}")
    yield from _pairs(
        [
            ("strategy", f"{page['strategy_id']} (member {page['user_id']})"),
            ("broker's id", page["broker_order_id"]),
            ("asked", page["asked"]),
            ("its reason", f'"{page["why"]}"' if page["why"] else None),
            ("at work on", _at_work(page)),
        ]
    )
    yield ""
    good = page["status"] == "filled"
    bad = page["status"] in {"denied", "rejected"}
    color = "green" if good else "red" if bad else "yellow"
    for line in wrap(page["outcome"][0].upper() + page["outcome"][1:] + ".", PAGE):
        yield click.style(line, fg=color, bold=True)
    if page["remedy"]:
        yield from wrap(f"What to do: {page['remedy']}.", PAGE)


def _at_work(page: View) -> str | None:
    line, together = page.get("line"), page.get("lines_together")
    return f"{line}, the last of {together} lines that it read together" if together else line


def _market(m: View) -> Iterator[str]:
    yield from ("", _title("The market when it was asked for"))
    yield f"  {m['symbol']}  bid {m['bid']} x {m['bid_size']}   ask {m['ask']} x {m['ask_size']}"
    yield f"  market time {_moment(m['quoted_at'])}; the desk had it for {_seconds(m['age_s'])}"


def _checks(page: View) -> Iterator[str]:
    checks = page["checks"]
    if not checks:
        begun = page["timeline"][0]["kind"]
        why = {
            "OrderAdopted": "it was asked for at the broker, not here",
            "OrderReturned": f"those of order {page['replaces']}, in whose place it is",
        }.get(begun, "not kept: the ledger is from before they were")
        yield from ("", _title("Checks"), f"  {why}")
        return
    passed = sum(check["verdict"] == "passed" for check in checks)
    summary = f"all {passed} passed" if passed == len(checks) else f"{passed} passed, then the first no"
    whose = f" of {page['parent_id']}, which carries it" if page["parent_id"] else ""
    yield from ("", _title(f"Checks{whose}: {summary}"))
    names = max(len(check["name"]) for check in checks)
    figures = max((len(check["figure"]) for check in checks if check["limit"]), default=0)
    for check in checks:
        is_good = check["verdict"] == "passed"
        mark = click.style("ok", fg="green") if is_good else click.style("NO", fg="red", bold=True)
        name = check["name"].replace("_", " ")
        figure = f"{check['figure']:<{figures}}  {check['limit']}" if check["limit"] else check["figure"]
        room = PAGE - names - 8
        first, *more = wrap(figure, room) if len(figure) > room else [figure]
        yield f"  {mark}  {name:<{names}}  {first}"
        yield from (f"{'':{names + 8}}{line}" for line in more)


def _timeline(rows: list[View]) -> Iterator[str]:
    yield from ("", _title(f"What happened, by the ledger ({rows[0]['at'][:10]}, UTC; milliseconds since the request)"))
    yield f"  {'time':<12} {'since':>10} {'step':>9}  {'what':<{WORDS}} {'by':<9} {'seq':>7} hash"
    for row in rows:
        since, step = _ms(row["since_request_ms"]), _ms(row["since_last_ms"])
        first, *more = wrap(row["words"], WORDS)
        place = f"{row['source'] or '':<9} {row['seq']:>7} {row['hash'][:HASH_SHOWN]}"
        yield f"  {row['at'][11:23]:<12} {since:>10} {step:>9}  {first:<{WORDS}} {place}"
        yield from (f"{'':37}{line}" for line in more)


def _fills(rows: list[View]) -> Iterator[str]:
    yield from ("", _title("Fills, and what they did to the strategy's books"))
    head = f"  {'market time':<12}  {'qty':>10}  {'price':>12}  {'so far':>10}  {'average':>12}  {'cash':>14}  {'position':>10}"
    yield head
    for row in rows:
        position = row["position_qty"] if row["position_qty"] is not None else "-"
        cash = f"{Decimal(row['cash']):+,.2f}"
        left = f"  {row['at'][11:23]:<12}  {row['qty']:>10}  {row['price']:>12}  {row['filled_qty']:>10}"
        mark = "  internal" if row.get("is_internal") else ""
        yield f"{left}  {row['avg_fill_price']:>12}  {cash:>14}  {position:>10}{mark}"


def _related(page: View) -> Iterator[str]:
    rows = [("carried by", page["parent_id"])] if page["parent_id"] else []
    for leg in page["legs"]:
        at = " and ".join(leg[key] for key in ("stop_price", "limit_price") if leg[key])
        rows.append(("leg", f"{leg['client_order_id']}: {leg['side']} {leg['qty']}, {leg['order_type']} at {at}"))
    for part in page.get("parts", ()):  # ledgers and desks from before it were no orders in parts
        stands = f"{part['status']}, {part['filled_qty']} of {part['qty']} filled"
        rows.append(("part", f"{part['part_id']}: {stands}; the broker's id {part['broker_order_id'] or 'unknown'}"))
    for key, name in (("replaces", "in place of"), ("replaced_by", "replaced by")):
        if page.get(key):
            rows.append((name, page[key]))
    if page.get("in_the_way"):
        rows.append(("in the way, or met", ", ".join(dict.fromkeys(page["in_the_way"]))))
    if rows:
        yield from ("", _title("Orders that belong to it (deskctl why tells of each)"))
        yield from _pairs(rows)


def _around(page: View) -> Iterator[str]:
    around, run = page["around"], page["run"]
    yield from ("", _title("Around it"))
    if run is not None:
        ended = (
            f"ended {_moment(run['ended_at'])}: {run['exit_reason']}: {run['exit_detail']}"
            if run["ended_at"]
            else "still runs"
        )
        yield from _wrapped(f"asked by run {run['run_id']}, started {_moment(run['started_at'])}; it {ended}")
    for fact in around["facts"]:
        yield from _wrapped(
            f"{fact['at'][11:23]}  ({_ms(fact['since_request_ms'])} ms)  {fact['words']}  [{fact['seq']}]"
        )
    if around["more"]:
        yield f"  and {around['more']} more"
    if quiet := around["reconciles_without_difference"]:
        yield f"  books and broker were compared {quiet} times meanwhile, without a difference"
    if run is None and not around["facts"] and not quiet:
        yield "  nothing that concerns it"


def _pairs(pairs: list[tuple[str, str | None]]) -> Iterator[str]:
    for name, value in pairs:
        if value is not None:
            first, *more = wrap(value, PAGE - 14) or [""]
            yield f"  {name:<11} {first}"
            yield from (f"{'':14}{line}" for line in more)


def _wrapped(text: str) -> Iterator[str]:
    first, *more = wrap(text, PAGE - 2)
    yield f"  {first}"
    yield from (f"    {line}" for line in wrap(" ".join(more), PAGE - 4))


def _title(text: str) -> str:
    return click.style(text, bold=True)


def _moment(at: str) -> str:
    return f"{at[:10]} {at[11:23].rstrip('Z')} UTC"


def _seconds(age: float) -> str:
    return f"{age * 1000:.0f} ms" if age < 1 else f"{age:.1f} s"


def _ms(value: float) -> str:
    return f"{value:,.1f}" if value < 100_000 else f"{value:,.0f}"
