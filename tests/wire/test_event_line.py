"""The words of the drop copy: whole, written as promised, shown to whom they concern."""

import msgspec

from deskd.domain.ids import ClientOrderId, UserId
from deskd.ledger.codec import KINDS
from deskd.wire.event_line import FOR_ALL, KILLS, SILENT, SOURCES, decode, encode, is_shown
from deskd.wire.event_line import DeskEvent as E
from tests.factories import ALICE, BOB, a_request
from tests.wire.test_drop_copy import approved, derived, one_of_each


def test_every_kind_of_fact_has_events_or_is_silent_on_purpose() -> None:
    """A fact that is added to the desk is added to the drop copy, or a reader is told that it is not there."""
    told = {kind for kinds in SOURCES.values() for kind in kinds}
    assert told | SILENT == set(KINDS.values())
    assert not told & SILENT


def test_a_line_is_read_back_as_it_was_written() -> None:
    """decode(encode(x)) == x; what has no value is not written."""
    for line in derived(*one_of_each()):
        text = encode(line)
        assert decode(text) == line
        assert b"null" not in text
        assert set(msgspec.json.decode(text)) >= {"v", "seq", "index", "at", "event"}


def test_members_see_what_is_theirs_and_what_is_nobodys() -> None:
    """Another member's orders, people's commands and the house book are not for everybody."""
    lines = derived(*one_of_each(), approved(request=a_request(strategy_id=BOB, client_order_id=ClientOrderId("b-1"))))
    alice = [line for line in lines if is_shown(line, user_id=UserId(ALICE))]
    assert {line.user_id for line in alice} == {ALICE, None}
    assert {E(line.event) for line in alice if line.user_id is None} == FOR_ALL | KILLS
    assert all(is_shown(line, user_id=None) for line in lines)
    hidden = {E(line.event) for line in lines if line.user_id is None} - FOR_ALL - KILLS
    books = {E.HOUSE_ADJUSTED, E.RECONCILED, E.DISCREPANCY_FOUND, E.DISCREPANCY_RESOLVED}
    day = {E.JOB_STARTED, E.JOB_ENDED, E.DAY_SUMMARIZED}  # sums of everybody, and paths of the machine
    kills = {E.FLATTEN_COMPLETED, E.FLATTEN_HINDERED, E.CANCEL_ALL_REQUESTED, E.CANCEL_ALL_ANSWERED}
    assert hidden == books | day | kills | {E.COMMAND_GIVEN, E.NOTICE_GIVEN}
