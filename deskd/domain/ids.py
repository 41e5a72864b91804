"""Identifiers. Each is a distinct type, so that they cannot be mixed up."""

import re
from typing import NewType

StrategyId = NewType("StrategyId", str)  # the strategy's folder name
UserId = NewType("UserId", str)  # the member
RunId = NewType("RunId", str)  # one life of a strategy's process
ClientOrderId = NewType("ClientOrderId", str)  # ours, made by the client: the key for retries
BrokerOrderId = NewType("BrokerOrderId", str)  # the broker's
FillId = NewType("FillId", str)  # one execution of our order; see `fill_id`
ActivityId = NewType("ActivityId", str)  # one line of the account's history at the broker
Symbol = NewType("Symbol", str)

HOUSE = StrategyId("house")  # the book of what no strategy's fills explain

STRATEGY_ID = re.compile(r"[a-z0-9][a-z0-9_-]{0,47}")
CLIENT_ORDER_ID = re.compile(r"[\x21-\x7e]{1,128}")  # printable ASCII, no spaces: it goes into URLs and logs
CLIENT_ORDER_ID_MAX = 128  # characters that the broker takes
PART_ID = re.compile(r".*~[0-9]+")  # of a part of a split order: no strategy's own order may be called so
SYMBOL = re.compile(r"[A-Z][A-Z0-9]{0,9}([./][A-Z0-9]{1,5})?")
