-- The truth: append-only, each entry carries the hash of the one before.
CREATE TABLE facts (
    seq       INTEGER PRIMARY KEY,
    at        TEXT NOT NULL,
    kind      TEXT NOT NULL,
    body      TEXT NOT NULL,
    prev_hash TEXT NOT NULL,
    hash      TEXT NOT NULL
) STRICT;
CREATE TRIGGER facts_are_never_changed BEFORE UPDATE ON facts
BEGIN
    SELECT RAISE(ABORT, 'facts are only ever appended');
END;
CREATE TRIGGER facts_are_never_deleted BEFORE DELETE ON facts
BEGIN
    SELECT RAISE(ABORT, 'facts are only ever appended');
END;

-- Projections: written in the facts' own transaction, rebuilt by replay. Decimals are TEXT, times RFC 3339 UTC.
CREATE TABLE strategies (
    strategy_id TEXT PRIMARY KEY,
    user_id     TEXT NOT NULL,
    name        TEXT NOT NULL,
    version     TEXT NOT NULL,
    path        TEXT NOT NULL,
    code_hash   TEXT NOT NULL,
    status      TEXT NOT NULL,
    allocation  TEXT NOT NULL,
    cash        TEXT NOT NULL,
    created_at  TEXT NOT NULL,
    updated_at  TEXT NOT NULL
) STRICT;

CREATE TABLE runs (
    run_id            TEXT PRIMARY KEY,
    strategy_id       TEXT NOT NULL,
    started_at        TEXT,
    ended_at          TEXT,
    exit_reason       TEXT,
    exit_detail       TEXT,
    peak_memory_bytes INTEGER,
    cpu_seconds       REAL
) STRICT;
CREATE INDEX runs_by_strategy ON runs (strategy_id, started_at);

CREATE TABLE orders (
    client_order_id TEXT PRIMARY KEY,
    broker_order_id TEXT,
    parent_id       TEXT,
    strategy_id     TEXT NOT NULL,
    user_id         TEXT NOT NULL,
    symbol          TEXT NOT NULL,
    side            TEXT NOT NULL,
    qty             TEXT,
    notional        TEXT,
    order_type      TEXT NOT NULL,
    time_in_force   TEXT NOT NULL,
    limit_price     TEXT,
    stop_price      TEXT,
    status          TEXT NOT NULL,
    filled_qty      TEXT NOT NULL,
    avg_fill_price  TEXT,
    reason          TEXT,
    message         TEXT,
    requested_at    TEXT NOT NULL,
    submitted_at    TEXT,
    updated_at      TEXT NOT NULL
) STRICT;
CREATE INDEX orders_by_strategy ON orders (strategy_id, requested_at);
CREATE INDEX orders_by_broker_id ON orders (broker_order_id);

CREATE TABLE fills (
    fill_id         TEXT PRIMARY KEY,
    client_order_id TEXT NOT NULL,
    strategy_id     TEXT NOT NULL,
    user_id         TEXT NOT NULL,
    symbol          TEXT NOT NULL,
    side            TEXT NOT NULL,
    qty             TEXT NOT NULL,
    price           TEXT NOT NULL,
    at              TEXT NOT NULL
) STRICT;
CREATE INDEX fills_by_order ON fills (client_order_id);
CREATE INDEX fills_by_strategy ON fills (strategy_id, at);

CREATE TABLE positions (
    strategy_id     TEXT NOT NULL,
    symbol          TEXT NOT NULL,
    qty             TEXT NOT NULL,
    avg_entry_price TEXT NOT NULL,
    mark_price      TEXT NOT NULL,
    market_value    TEXT NOT NULL,
    unrealized_pnl  TEXT NOT NULL,
    realized_pnl    TEXT NOT NULL,
    updated_at      TEXT NOT NULL,
    PRIMARY KEY (strategy_id, symbol)
) STRICT;

-- The first desk's columns.
CREATE VIEW trades AS
SELECT user_id,
       strategy_id,
       broker_order_id AS order_id,
       symbol,
       qty             AS quantity,
       side,
       order_type,
       limit_price,
       stop_price,
       filled_qty      AS filled_quantity,
       avg_fill_price  AS filled_price,
       status,
       requested_at    AS created_at,
       updated_at,
       CASE WHEN status IN ('denied', 'rejected') THEN message END AS error_message
FROM orders;
