"""The exchange misbehaves exactly as told, and then no more."""

import msgspec
import pytest

from deskd.venue.faults import Faults, FaultsOrder, RestRule, StreamFaults


def test_a_rule_is_spent_after_its_times() -> None:
    """A rule for two requests hits two requests that match, and no other."""
    faults = Faults()
    faults.set(FaultsOrder(rest=[RestRule(method="POST", path="/v2/orders", times=2, status=504)]))
    assert faults.take_rule("GET", "/v2/orders", 0.0) is None
    assert faults.take_rule("POST", "/v2/watchlists", 0.0) is None
    hits = [faults.take_rule("POST", "/v2/orders", 0.0) for _ in range(3)]
    assert [hit.status if hit else None for hit in hits] == [504, 504, None]


def test_a_rule_of_seconds_is_spent_after_them() -> None:
    """A storm of 429 lasts as long as told, from the first request that it hits, and hits each of them."""
    faults = Faults()
    faults.set(FaultsOrder(rest=[RestRule(status=429, for_s=5.0), RestRule(status=500)]))
    hits = [faults.take_rule("GET", "/v2/clock", now) for now in (10.0, 12.0, 14.9, 15.0, 15.1)]
    assert [hit.status if hit else None for hit in hits] == [429, 429, 429, 500, None]


def test_what_is_not_named_stays() -> None:
    """Setting one stream's faults leaves the other's and the rules alone; clearing ends them all."""
    faults = Faults()
    faults.set(FaultsOrder(trade_stream=StreamFaults(mute=True)))
    faults.set(FaultsOrder(data_stream=StreamFaults(duplicate=True)))
    assert faults.trade_stream.mute
    assert faults.data_stream.duplicate
    faults.clear()
    assert not faults.trade_stream.mute


@pytest.mark.parametrize(
    ("wrong", "sent"),
    [
        (StreamFaults(), [1, 2, 3, 4]),
        (StreamFaults(mute=True), []),
        (StreamFaults(drop_next=3), [4]),
        (StreamFaults(drop_next=2, duplicate=True), [3, 3, 4, 4]),
        (StreamFaults(duplicate=True), [1, 1, 2, 2, 3, 3, 4, 4]),
        (StreamFaults(reorder=True), [2, 1, 4, 3]),
    ],
)
def test_a_stream_does_wrong_what_it_is_told_to(wrong: StreamFaults, sent: list[int]) -> None:
    """Messages are dropped, doubled or swapped, whether they come together or one by one."""
    assert wrong.shape([1, 2, 3, 4]) == sent


def test_reordering_reaches_over_single_messages() -> None:
    """A message that comes alone is held until the next one has gone before it."""
    wrong = StreamFaults(reorder=True)
    assert [wrong.shape([message]) for message in (1, 2, 3)] == [[], [2, 1], []]


def test_refusals_are_counted_down() -> None:
    """So many handshakes and authentications are refused as told, then none."""
    wrong = StreamFaults(refuse_handshakes=1, refuse_auth=2)
    assert [wrong.refuses_handshake(0.0) for _ in range(2)] == [True, False]
    assert [wrong.refuses_auth() for _ in range(3)] == [True, True, False]


def test_lost_messages_are_counted_down() -> None:
    """So many messages are lost as told, over however many steps of the market, then none."""
    wrong = StreamFaults(drop_next=3)
    assert [wrong.shape(messages) for messages in ([1, 2], [3, 4], [5])] == [[], [4], [5]]


def test_a_storm_of_handshakes_ends_by_itself() -> None:
    """All handshakes of so many seconds are refused, from the first one on."""
    wrong = StreamFaults(refuse_handshakes_s=5.0)
    assert [wrong.refuses_handshake(now) for now in (10.0, 14.9, 15.0, 16.0)] == [True, True, False, False]


def test_authentications_are_answered_with_the_codes_in_turn() -> None:
    """Each code is used once; refused ones are 402; then the truth is told."""
    wrong = StreamFaults(auth_errors=[406, 409], refuse_auth=1)
    assert [wrong.auth_error() for _ in range(4)] == [406, 409, 402, 0]


def test_an_unknown_fault_is_an_error() -> None:
    """A misspelt fault is refused by name: a test that asks for it would prove nothing."""
    with pytest.raises(msgspec.ValidationError, match="mutee"):
        msgspec.json.decode(b'{"trade_stream": {"mutee": true}}', type=FaultsOrder)
