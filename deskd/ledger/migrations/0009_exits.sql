-- Positions that the desk closed by itself, or tries to: why, and at which price it was decided. The orders are in
-- `orders`, by strategy and symbol, with ids that begin with `exit-`.
CREATE TABLE exits (
    id              INTEGER PRIMARY KEY,
    strategy_id     TEXT NOT NULL,
    symbol          TEXT NOT NULL,
    kind            TEXT NOT NULL, -- stop_loss, trailing, take_profit, before_close
    position_qty    TEXT NOT NULL, -- signed
    price           TEXT NOT NULL,
    level           TEXT NOT NULL, -- the bound that it reached
    avg_entry_price TEXT NOT NULL,
    market_day      TEXT NOT NULL,
    at              TEXT NOT NULL
) STRICT;
CREATE INDEX exits_by_strategy ON exits (strategy_id, at);
