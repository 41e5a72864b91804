"""What we use of alpaca-py that it does not promise: its streams' private names, and where they must stand.

alpaca-py is pinned; whoever lifts the pin learns here, at start, what has moved.
"""

from importlib.metadata import version

from alpaca.data.live.stock import StockDataStream
from alpaca.trading.client import TradingClient
from alpaca.trading.stream import TradingStream
from websockets.legacy.protocol import WebSocketCommonProtocol

PINNED = "0.44.0"

# (class, name, whose names its __init__ or method must use)
_METHODS = (
    (StockDataStream, ("_connect", "_auth", "_start_ws", "close", "_reconnect_delay")),
    (TradingStream, ("_connect", "_auth", "close", "_reconnect_delay")),
    (WebSocketCommonProtocol, ("recv", "send", "close")),
)
_ATTRIBUTES = (
    (StockDataStream, ("_ws", "_api_key", "_secret_key", "_max_frame_size", "_reconnect_min_backoff")),
    (TradingStream, ("_ws", "_api_key", "_secret_key", "_reconnect_min_backoff", "_reconnect_max_backoff")),
    (TradingClient, ("_retry", "_session")),
    (WebSocketCommonProtocol, ("messages", "transport")),
)


def missing_names() -> list[str]:
    """Return the names that we use and the installed libraries do not have."""
    missing = [f"{owner.__name__}.{name}" for owner, names in _METHODS for name in names if not hasattr(owner, name)]
    for owner, names in _ATTRIBUTES:
        used = _assigned_names(owner)
        missing += [f"{owner.__name__}.{name}" for name in names if name not in used]
    return missing


def check_library() -> None:
    """Raise ImportError, naming the pinned version, if alpaca-py is not the one these streams were built for."""
    if missing := missing_names():
        raise ImportError(
            f"alpaca-py {version('alpaca-py')} has no {', '.join(missing)}: the desk's streams are built for "
            f"alpaca-py {PINNED}; install that version (make setup), or adapt deskd/alpaca"
        )


def _assigned_names(owner: type) -> set[str]:
    names: set[str] = set()
    for parent in owner.__mro__:
        for method in vars(parent).values():
            code = getattr(method, "__code__", None)
            names.update(code.co_names if code is not None else ())
    return names
