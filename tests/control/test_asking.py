"""What routes share: a number that is asked for is read, or refused with the rule."""

import pytest
from aiohttp.test_utils import make_mocked_request

from deskd.control.asking import Refused, count


def test_a_number_is_read_or_its_default_taken() -> None:
    """Zero and the bound itself are allowed."""
    assert count(make_mocked_request("GET", "/x"), "limit", 7, 10) == 7
    assert count(make_mocked_request("GET", "/x?limit=0"), "limit", 7, 10) == 0
    assert count(make_mocked_request("GET", "/x?limit=10"), "limit", 7, 10) == 10


@pytest.mark.parametrize("text", ["11", "-1", "1.5", "many", "", "٣", "1" * 7])
def test_what_is_no_number_within_the_bound_is_refused_with_the_rule(text: str) -> None:
    """The refusal names the thing, what came, and what is allowed."""
    with pytest.raises(Refused, match=r"limit=.*allowed: a whole number from 0 to 10") as refused:
        count(make_mocked_request("GET", f"/x?limit={text}"), "limit", 7, 10)
    assert refused.value.status == 400
