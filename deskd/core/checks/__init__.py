"""Pre-trade checks. One rule each: pure, no logging, and what is unknown is denied.

A check says what it found: whether the order may pass, the figure that it looked at, and the limit, as key=value. All
of it is kept with the order (`deskctl why`). Where it says no, figure, limit and remedy are the text that the
strategy's author reads. A new check is one function that returns a Finding in the file of its family, and one line in
`gate`. A limit that only exists to stop opening lets pass what only closes.
"""

from deskd.core.checks.account import cash_needed
from deskd.core.checks.evidence import (
    BUY_STOP_MARGIN,
    MARKET_MARGIN,
    Check,
    Denied,
    Evidence,
    Figures,
    Finding,
    Scoped,
    ValueCheck,
    Valued,
    free_to_close,
)

__all__ = [
    "BUY_STOP_MARGIN",
    "MARKET_MARGIN",
    "Check",
    "Denied",
    "Evidence",
    "Figures",
    "Finding",
    "Scoped",
    "ValueCheck",
    "Valued",
    "cash_needed",
    "free_to_close",
]
