"""One connection's bytes: what has come waits for whoever asks, within bounds; what goes waits for the peer."""

import asyncio
from typing import cast

from deskd.api.http import HEAD_MAX, RequestReader

_WAITING_MAX = 4 * HEAD_MAX  # bytes of further requests taken from the kernel while one is answered


class Connection(asyncio.Protocol):
    """The protocol of one accepted socket; one task reads from it and writes to it."""

    def __init__(self, requests: RequestReader) -> None:
        self.requests = requests
        self.leftover = 0  # bytes thrown away since say_no_more
        self.is_drained = True  # the peer has room for what was written
        self._transport: asyncio.Transport | None = None
        self._is_heard_out = False  # the peer has said all of his, or is gone
        self._is_lost = False
        self._is_reading = True
        self._is_over = False
        self._changed: asyncio.Future[None] | None = None

    # --- for the one who serves it -------------------------------------------------------------------------------

    async def more(self) -> bool:
        """Return when more bytes have come: True; or none ever will: False."""
        if self._is_heard_out:
            return False
        self._resume()
        await self._change()
        return not self._is_heard_out

    async def drained(self) -> bool:
        """Return when the peer has taken what was written: True; or is gone: False."""
        while not self._is_lost and not self.is_drained:
            await self._change()
        return not self._is_lost

    def write(self, data: bytes) -> None:
        """Send *data*; `is_drained` tells whether the peer keeps up."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def say_no_more(self) -> None:
        """End our side; what still comes is thrown away and counted."""
        self._is_over = True
        if self._transport is not None and self._transport.can_write_eof() and not self._transport.is_closing():
            self._transport.write_eof()

    def close(self) -> None:
        """End it, at once: what the peer did not take he will not get."""
        if self._transport is not None:
            if self.is_drained:
                self._transport.close()
            else:
                self._transport.abort()

    def _resume(self) -> None:
        if not self._is_reading and self._transport is not None:
            self._is_reading = True
            self._transport.resume_reading()

    async def _change(self) -> None:
        self._changed = asyncio.get_running_loop().create_future()
        try:
            await self._changed
        finally:
            self._changed = None

    # --- for the loop --------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one by shape only
        # `is_drained` means that the kernel has it all: no answer waits here for a peer that does not read
        self._transport.set_write_buffer_limits(high=0)

    def data_received(self, data: bytes) -> None:
        """Keep the bytes until they are asked for; stop reading where there are many."""
        if self._is_over:
            self.leftover += len(data)
        else:
            self.requests.feed(data)
            if self.requests.waiting > _WAITING_MAX and self._is_reading and self._transport is not None:
                self._is_reading = False
                self._transport.pause_reading()
        self._notify()

    def eof_received(self) -> bool:
        """Let a peer that has said all of his still hear the answer."""
        self._is_heard_out = True
        self._notify()
        return True

    def connection_lost(self, _: Exception | None) -> None:
        """Tell whoever waits."""
        self._is_heard_out = self._is_lost = True
        self._notify()

    def pause_writing(self) -> None:
        """Note that the peer does not keep up."""
        self.is_drained = False

    def resume_writing(self) -> None:
        """Note that he has caught up."""
        self.is_drained = True
        self._notify()

    def _notify(self) -> None:
        if self._changed is not None and not self._changed.done():
            self._changed.set_result(None)
