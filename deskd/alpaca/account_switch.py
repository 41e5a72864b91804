"""The account's own switch at the broker: while it is suspended, the broker refuses every new order, whoever sends it."""

from dataclasses import dataclass

import msgspec

from deskd.alpaca.http import Answer, Http, Turn
from deskd.domain.errors import WireError
from deskd.domain.priority import Priority
from deskd.wire.alpaca import client as wire

PATH = "/v2/account/configurations"
_NEVER = frozenset({400, 403, 404, 405, 422})  # asking again would bring the same


@dataclass(frozen=True, slots=True)
class AccountSwitch:
    """Reads and turns `suspend_trade`."""

    http: Http

    async def is_suspended(self) -> bool:
        """Tell whether the account is suspended; raise OSError where the broker does not say."""
        return _switch(await self._ask("GET", None))

    async def turn(self, *, is_suspended: bool) -> str | None:
        """Suspend the account, or let it trade; return None when it is done, or why the broker does not do it.

        Raise OSError where there is no clear answer: it may have taken hold, and asking again does no harm.
        """
        answer = await self._ask("PATCH", msgspec.json.encode({"suspend_trade": is_suspended}))
        if answer.status in _NEVER:
            refusal = wire.decode_refusal(answer.status, answer.body)
            return f"HTTP {answer.status}" if refusal is None else refusal.text
        if _switch(answer) is not is_suspended:
            return f"the broker answered suspend_trade={not is_suspended}"
        return None

    async def _ask(self, method: str, body: bytes | None) -> Answer:
        outcome = await self.http.send(method, PATH, body=body, turn=Turn(priority=Priority.CANCEL))
        if not isinstance(outcome, Answer):
            raise ConnectionError(outcome.why)
        return outcome


def _switch(answer: Answer) -> bool:
    if not 200 <= answer.status < 300:
        raise ConnectionError(f"the broker answered HTTP {answer.status} to {PATH}")
    try:
        found = wire.as_object(wire.decode_json(answer.body), "configurations").get("suspend_trade")
    except WireError as error:
        raise ConnectionError(f"the broker's answer cannot be read: {error}") from error
    if not isinstance(found, bool):
        raise ConnectionError(f"suspend_trade={found!r}: the broker's answer is not understood")
    return found
