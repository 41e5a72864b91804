"""Stored facts: what goes in comes out, and the chain shows any change."""

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from types import NoneType, UnionType
from typing import Any, NewType, Union, get_args, get_origin, get_type_hints

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from deskd.core.deciding import decide
from deskd.domain import events as ev
from deskd.domain.effects import Record
from deskd.domain.errors import LedgerError
from deskd.ledger import codec
from tests.factories import NOON, a_desk, requested


def values(hint: Any) -> st.SearchStrategy[Any]:
    """Return a strategy for one field of a fact."""
    if isinstance(hint, NewType):
        return values(hint.__supertype__)
    origin = get_origin(hint)
    if origin in {Union, UnionType}:
        return st.one_of([values(member) for member in get_args(hint)])
    if origin is tuple:
        members = get_args(hint)
        if members[-1] is Ellipsis:
            return st.lists(values(members[0]), max_size=2).map(tuple)
        return st.tuples(*(values(member) for member in members))
    simple: dict[Any, st.SearchStrategy[Any]] = {
        Decimal: st.decimals(-(10**12), 10**12, places=9),
        str: st.text(max_size=20),
        float: st.floats(allow_nan=False, allow_infinity=False),  # seconds that were measured
        NoneType: st.none(),
        datetime: st.timedeltas(timedelta(0), timedelta(days=10_000)).map(lambda d: NOON + d),
    }
    if hint in simple:
        return simple[hint]
    if hasattr(hint, "__dataclass_fields__"):
        return facts(hint)
    return st.from_type(hint)


def facts(kind: type[Any]) -> st.SearchStrategy[Any]:
    hints = get_type_hints(kind)
    return st.builds(kind, **{name: values(hint) for name, hint in hints.items()})


@pytest.mark.parametrize("kind", codec.KINDS.values(), ids=list(codec.KINDS))
@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_every_kind_of_fact_survives_storage(kind: type[ev.Fact], data: st.DataObject) -> None:
    """decode(encode(x)) == x, decimals and instants exact."""
    fact = data.draw(facts(kind))
    assert codec.decode(*codec.encode(fact)) == fact


def test_an_unknown_kind_is_an_error_that_names_it() -> None:
    """A ledger of a newer program is not half read."""
    with pytest.raises(LedgerError, match="'MoonLanded' is unknown"):
        codec.decode("MoonLanded", "{}")


def test_a_broken_body_is_an_error_that_names_it() -> None:
    """Nothing is guessed."""
    with pytest.raises(LedgerError, match="fact OrderCanceled cannot be read"):
        codec.decode("OrderCanceled", '{"at": 1}')


def test_every_stored_field_is_in_the_hash() -> None:
    """Whatever of an entry is changed, its hash is another."""
    entry: tuple[str, int, str, str, str] = (codec.GENESIS, 1, "2026", "A", "{}")
    changed = [("1" * 64, *entry[1:]), (entry[0], 2, *entry[2:]), (*entry[:2], "2027", *entry[3:])]
    changed += [(*entry[:3], "B", entry[4]), (*entry[:4], "{ }")]
    assert len({codec.chain(*e) for e in [entry, *changed]}) == 6


def test_stamps_sort_as_time_does() -> None:
    """Fixed width, UTC."""
    assert codec.stamp(NOON) == "2026-01-05T17:00:00.000000Z"


def test_an_approval_from_before_findings_were_kept_is_still_read() -> None:
    """A field is only ever added with a default: it says what an old ledger did not know."""
    fact = decide(a_desk(), requested())[0]
    assert isinstance(fact, Record)
    assert isinstance(fact.fact, ev.OrderApproved)
    kind, body = codec.encode(fact.fact)
    old = body[: body.index(',"checks":')] + "}"
    read = codec.decode(kind, old)
    assert isinstance(read, ev.OrderApproved)
    assert read.checks == ()
    assert replace(fact.fact, checks=()) == read


def test_what_a_check_found_is_stored_as_a_short_array() -> None:
    """Seventeen of them come with every order: no key is written seventeen times."""
    fact = decide(a_desk(), requested())[0]
    assert isinstance(fact, Record)
    assert '["open_orders_are_few","open_orders=0","open_orders_max=20"]' in codec.encode(fact.fact)[1]
