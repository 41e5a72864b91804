"""The fold as bytes: nothing of it is left out, and what comes back goes on as if it had never been away."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from types import NoneType, UnionType
from typing import Any, NewType, Union, get_args, get_origin, get_type_hints

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings

from deskd.core.desk import Desk
from deskd.domain import events as ev
from deskd.ledger import fold
from tests.factories import ALICE, NOON
from tests.ledger.histories import histories
from tests.ledger.story import a_story, rebuilt

HINTS = get_type_hints(Desk)
FOLDED = [f.name for f in fields(Desk) if f.compare]


def values(hint: Any) -> st.SearchStrategy[Any]:
    """Return a strategy for whatever a field of the fold holds."""
    if isinstance(hint, NewType):
        return values(hint.__supertype__)
    simple: dict[Any, st.SearchStrategy[Any]] = {
        Decimal: st.decimals(-(10**12), 10**12, places=9),
        str: st.text(max_size=20),
        int: st.integers(-(2**60), 2**60),
        NoneType: st.none(),
        None: st.none(),
        datetime: st.timedeltas(timedelta(0), timedelta(days=10_000)).map(lambda d: NOON + d),
    }
    if hint in simple:
        return simple[hint]
    inside = get_args(hint)
    match get_origin(hint):
        case origin if origin in {Union, UnionType}:
            return st.one_of(*map(values, inside))
        case origin if origin is tuple:
            if inside[-1] is Ellipsis:
                return st.lists(values(inside[0]), max_size=2).map(tuple)
            return st.tuples(*map(values, inside))
        case origin if origin in {dict, Mapping}:
            return st.dictionaries(values(inside[0]), values(inside[1]), max_size=3)
        case origin if origin in {set, frozenset}:
            return st.sets(values(inside[0]), max_size=3).map(origin)
    if isinstance(hint, type) and is_dataclass(hint):
        return st.builds(hint, **{name: values(part) for name, part in get_type_hints(hint).items()})
    return st.from_type(hint)


@pytest.mark.parametrize("name", FOLDED)
def test_every_field_of_the_fold_comes_back_whatever_is_in_it(name: str) -> None:
    """A field that somebody adds to the desk is kept without a word here, or this fails."""

    @settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
    @given(value=values(HINTS[name]))
    def comes_back(value: Any) -> None:
        desk = Desk(**{name: value})
        again = fold.decode(fold.encode(desk))
        assert again == desk
        assert fold.encode(again) == fold.encode(desk)
        if isinstance(value, dict):
            assert list(getattr(again, name)) == list(value), "in the same order"

    comes_back()


@settings(max_examples=60, deadline=None)
@given(facts=histories(), cut=st.floats(0, 1))
def test_a_fold_and_the_rest_of_the_facts_equal_all_facts(facts: list[ev.Fact], cut: float) -> None:
    """Wherever a history is cut: the desk of a snapshot and its tail is the desk of a full replay, to the byte."""
    at = round(cut * len(facts))
    desk = fold.decode(fold.encode(rebuilt(facts[:at])))
    for fact in facts[at:]:
        desk.apply(fact)
    whole = rebuilt(facts)
    assert desk == whole
    assert fold.encode(desk) == fold.encode(whole)


def test_inputs_are_no_part_of_it() -> None:
    """Limits and instruments come from the configuration and the broker of the day, not from a file of yesterday."""
    facts, desk = a_story()
    again = fold.decode(fold.encode(desk))
    assert again == rebuilt(facts)
    assert not again.limits
    assert not again.instruments
    assert again.doubt_settle == Desk().doubt_settle != timedelta(0)


def test_what_is_not_the_desks_is_refused() -> None:
    """Fields of another program, bytes of something else: an error, never half a desk."""
    for body in (b"", b"\x80", b"\x81\xa4name\xa1x", b"nonsense"):
        with pytest.raises(ValueError, match=r"fields|truncated|Expected|trailing"):
            fold.decode(body)


def test_the_same_desk_gives_the_same_bytes_whatever_order_its_sets_grew_in() -> None:
    """So a replay is compared with a snapshot by hash."""
    one, other = Desk(), Desk()
    for number in range(100):
        one.fill_ids.add(f"b:{number}")  # type: ignore[arg-type]
        other.fill_ids.add(f"b:{99 - number}")  # type: ignore[arg-type]
    assert fold.encode(one) == fold.encode(other)


def test_a_part_that_is_kept_is_no_input_of_a_part() -> None:
    """Even the private totals of the reservations are there: the gate reads them."""
    _, desk = a_story()
    body = fold.encode(desk)
    assert b"_opening" in body
    assert fold.decode(body).buying_power(ALICE) == desk.buying_power(ALICE)


def test_the_fingerprint_is_of_the_sources_and_does_not_change_by_itself() -> None:
    """One program, one fingerprint."""
    assert fold.fingerprint() == fold.fingerprint()
    assert len(fold.fingerprint()) == 64
