"""What we use of alpaca-py that it does not promise: its streams' private names.

alpaca-py is pinned; whoever lifts the pin learns here, at start, what has moved.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version

from alpaca.data.live.stock import StockDataStream
from alpaca.trading.client import TradingClient
from alpaca.trading.stream import TradingStream
from websockets.legacy.protocol import WebSocketCommonProtocol

PINNED = "0.44.0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Used:
    """A class of a library, and the names of it that we rely on."""

    owner: type
    methods: tuple[str, ...] = ()
    attributes: tuple[str, ...] = ()  # of its objects: its own methods must use them


_STREAM = ("_ws", "_api_key", "_secret_key", "_endpoint", "_reconnect_min_backoff", "_reconnect_max_backoff")
USED = (
    Used(
        owner=StockDataStream,
        methods=("_connect", "_auth", "_start_ws", "close", "_reconnect_delay"),
        attributes=(*_STREAM, "_max_frame_size"),
    ),
    Used(owner=TradingStream, methods=("_connect", "_auth", "close", "_reconnect_delay"), attributes=_STREAM),
    Used(owner=TradingClient, attributes=("_retry", "_session")),
    Used(owner=WebSocketCommonProtocol, methods=("recv", "send", "close"), attributes=("messages", "transport")),
)


def missing_names(used: Sequence[Used] = USED) -> list[str]:
    """Return the names that we use and the installed libraries do not have."""
    return [f"{part.owner.__name__}.{name}" for part in used for name in _missing(part)]


def check_library(used: Sequence[Used] = USED) -> None:
    """Raise ImportError, naming the pinned version, if alpaca-py is not the one these streams were built for."""
    if missing := missing_names(used):
        raise ImportError(
            f"alpaca-py {version('alpaca-py')} has no {', '.join(missing)}: the desk's streams are built for "
            f"alpaca-py {PINNED}; install that version (make setup), or adapt deskd/alpaca"
        )


def _missing(part: Used) -> list[str]:
    there = _names_in_code(part.owner)
    missing = [name for name in part.methods if not hasattr(part.owner, name)]
    return missing + [name for name in part.attributes if name not in there]


def _names_in_code(owner: type) -> set[str]:
    names: set[str] = set()
    for parent in owner.__mro__:
        for method in vars(parent).values():
            code = getattr(method, "__code__", None)
            names.update(code.co_names if code is not None else ())
    return names
