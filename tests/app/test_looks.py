"""What a look at the account is to bring."""

from dataclasses import replace
from datetime import datetime, timedelta

from deskd.app.looks import RESYNC_BACK, RESYNC_SPAN, listed_since
from deskd.domain.order import Order, OrderStatus
from tests.factories import NOON, a_request


def test_one_old_order_does_not_bring_the_list_of_a_month() -> None:
    """The broker lists orders from before the oldest that is open, but a day back at most."""

    def submitted(at: datetime | None) -> Order:
        order = Order(request=a_request(), status=OrderStatus.ACCEPTED, requested_at=NOON, updated_at=NOON)
        return replace(order, submitted_at=at)

    hour, month = timedelta(hours=1), timedelta(days=30)
    assert listed_since([]) is listed_since([submitted(None)]) is None
    assert listed_since([submitted(NOON), submitted(NOON - hour)]) == NOON - hour - RESYNC_BACK
    assert listed_since([submitted(NOON - month), submitted(NOON)]) == NOON - RESYNC_SPAN - RESYNC_BACK
    assert listed_since([submitted(NOON - month)]) == NOON - month - RESYNC_BACK
