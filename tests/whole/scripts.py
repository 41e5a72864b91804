"""Strategies that several tests of whole desks run."""

# Buys and sells one share of SPY in turn, as fast as it is answered.
TRADER = """
    import json, sys
    from desk_client import place_order

    side = "buy"
    for line in sys.stdin:
        message = json.loads(line)
        answer = place_order("SPY", "1", side, timeout=3)
        if answer.status == "success":
            side = "sell" if side == "buy" else "buy"
"""
