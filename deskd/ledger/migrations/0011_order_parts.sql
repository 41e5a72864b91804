-- Orders that would have taken the account across zero go to the broker in parts. The order itself stands in `orders`,
-- once, with the sums of its parts; these are the parts. Sums over orders and over fills count none of them twice.
CREATE TABLE order_parts (
    part_id         TEXT PRIMARY KEY, -- the client_order_id that the broker knows
    client_order_id TEXT NOT NULL,    -- of the order in `orders`
    broker_order_id TEXT,
    strategy_id     TEXT NOT NULL,
    user_id         TEXT NOT NULL,
    symbol          TEXT NOT NULL,
    side            TEXT NOT NULL,
    qty             TEXT NOT NULL,
    status          TEXT NOT NULL,
    filled_qty      TEXT NOT NULL,
    avg_fill_price  TEXT,
    reason          TEXT,
    message         TEXT,
    sent_at         TEXT NOT NULL,
    submitted_at    TEXT,
    updated_at      TEXT NOT NULL,
    broker_status   TEXT NOT NULL
) STRICT;
CREATE INDEX order_parts_by_order ON order_parts (client_order_id);
CREATE INDEX order_parts_by_broker_id ON order_parts (broker_order_id);
-- A fill is its order's; where that went in parts, this is the part.
ALTER TABLE fills ADD COLUMN part_id TEXT;
