"""What no broker takes is said before the market is looked at."""

from deskd.core import gate
from deskd.core.checks import Denied
from deskd.domain.reasons import DenialReason as R
from tests.core.test_checks import evidence
from tests.factories import a_limit_request, a_request


def test_a_malformed_order_is_told_that_whatever_the_market_does() -> None:
    """The fault is the author's, and stays there when the market opens: the remedy must be about it."""
    closed = {"quote": None, "is_calendar_known": False}
    for request, reason in ((a_request(extended_hours=True), R.FORM_INVALID), (a_limit_request("1.001"), R.SUB_PENNY)):
        denied = gate.judge(evidence(request=request, **closed)).answer
        assert isinstance(denied, Denied)
        assert denied.reason is reason
