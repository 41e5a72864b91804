"""The account's switch, over real sockets: what is turned is turned, and anything unclear is said to be so."""

import pytest

from deskd.alpaca.account_switch import PATH, AccountSwitch
from deskd.domain.events import SubmitRejected
from deskd.venue.faults import RestRule
from tests.alpaca.test_against_the_exchange import an_exchange
from tests.factories import a_limit_request


async def test_a_suspended_account_takes_no_order_until_it_is_set_free() -> None:
    """The exchange says why, as the broker does."""
    async with an_exchange() as (_, broker):
        switch = AccountSwitch(broker.http)
        assert await switch.is_suspended() is False
        assert await switch.turn(is_suspended=True) is None
        assert await switch.is_suspended() is True
        said = await broker.submit(a_limit_request("1"))
        assert isinstance(said, SubmitRejected)
        assert "rejected by user request" in said.message
        assert await switch.turn(is_suspended=False) is None
        assert await switch.is_suspended() is False


@pytest.mark.parametrize("status", [429, 500])
async def test_no_clear_answer_is_an_error_and_asking_again_does_no_harm(status: int) -> None:
    """Busy, or broken."""
    async with an_exchange(RestRule(method="PATCH", path=PATH, status=status, times=1)) as (_, broker):
        switch = AccountSwitch(broker.http)
        with pytest.raises(ConnectionError, match=str(status)):
            await switch.turn(is_suspended=True)
        assert await switch.turn(is_suspended=True) is None


async def test_a_refusal_is_told_in_the_brokers_words() -> None:
    """Where the account may not do it."""
    async with an_exchange(RestRule(method="PATCH", path=PATH, status=403, times=1)) as (_, broker):
        assert await AccountSwitch(broker.http).turn(is_suspended=True)
