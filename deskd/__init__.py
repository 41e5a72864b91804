"""deskd: the trading desk of a quant club."""

__version__ = "0.1.0"
