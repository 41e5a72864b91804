"""One line of the account's history at the broker, and by which name the house book takes it."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from deskd.domain.ids import ActivityId, BrokerOrderId, Symbol
from deskd.domain.money import NO_CASH, NO_QTY, Cash, Price, Qty
from deskd.domain.order import Fill, Side

FILL = "FILL"
BUST, CORRECT = "trade_bust", "trade_correct"  # on the stream and in the history alike
CORRECTIONS = frozenset({BUST, CORRECT})


class HouseCause(StrEnum):
    """Why the house book took cash or shares."""

    OPENING = "opening"  # what was there before the desk's first look
    MANUAL_TRADE = "manual_trade"  # a fill of an order that is not the desk's
    TRADE_BUST = "trade_bust"  # the broker undid a member's fill
    TRADE_CORRECT = "trade_correct"  # the broker gave a member's fill another price
    OVERFILL = "overfill"  # the broker executed more than a member's order was for
    BLOCK = "block"  # what it traded for many under a kill, handed over to them
    FEE = "fee"
    DIVIDEND = "dividend"
    INTEREST = "interest"
    TRANSFER = "transfer"  # deposits, withdrawals, journals
    SPLIT = "split"
    CORPORATE_ACTION = "corporate_action"  # mergers, spin-offs, name changes, reorganizations
    OTHER = "other"  # the history names it, by a word that is none of these
    UNEXPLAINED = "unexplained"  # nothing in the history says why
    RETURNED = "returned"  # an unexplained difference went away by itself


# A member's shares may have changed at the broker without a fill: nobody trades on until an officer has looked.
CHANGES_SHARES = frozenset({HouseCause.SPLIT, HouseCause.CORPORATE_ACTION})

_CAUSES = {
    HouseCause.FEE: "FEE CFEE PTC DIVFEE",
    HouseCause.DIVIDEND: "DIV DIVCGL DIVCGS DIVFT DIVNRA DIVROC DIVTW DIVTXEX",
    HouseCause.INTEREST: "INT INTNRA INTTW",
    HouseCause.TRANSFER: "CSD CSW JNL JNLC JNLS ACATC ACATS TRANS",
    HouseCause.SPLIT: "SPLIT SSP",
    HouseCause.CORPORATE_ACTION: "MA NC REORG SPIN SSO PTR",
}
_CAUSE_OF = {kind: cause for cause, kinds in _CAUSES.items() for kind in kinds.split()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Activity:
    """One line of the account's history."""

    activity_id: ActivityId
    kind: str  # Alpaca's word: FILL, FEE, DIV, SPLIT, ...
    at: datetime  # the broker's stamp: on a tape, the tape's time
    symbol: Symbol | None = None
    qty: Qty = NO_QTY  # signed: the shares that it moved
    price: Price | None = None
    cash: Cash = NO_CASH  # signed: what it moved
    description: str = ""
    # of a FILL
    execution: str = ""  # fill, partial_fill, trade_bust, trade_correct
    broker_order_id: BrokerOrderId | None = None
    side: Side | None = None
    fill: Fill | None = None  # of fill and partial_fill

    @property
    def cause(self) -> HouseCause:
        """Return the name by which the house takes it."""
        if self.kind != FILL:
            return _CAUSE_OF.get(self.kind, HouseCause.OTHER)
        return HouseCause(self.execution) if self.is_correction else HouseCause.MANUAL_TRADE

    @property
    def is_correction(self) -> bool:
        """Tell whether it undoes or changes an execution."""
        return self.execution in CORRECTIONS
