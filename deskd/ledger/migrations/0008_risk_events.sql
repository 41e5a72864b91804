-- What stopped trading, and what let it go on: a row for each fact of the kill switch.
CREATE TABLE risk_events (
    id     INTEGER PRIMARY KEY,
    kind   TEXT NOT NULL,  -- kill_engaged, kill_released, flatten_completed, flatten_hindered
    scope  TEXT NOT NULL,  -- desk, member, strategy, symbol
    name   TEXT NOT NULL,  -- empty for the desk
    depth  TEXT,           -- reduce_only, stop_new, cancel, flatten
    cause  TEXT,
    by     TEXT,
    reason TEXT NOT NULL,  -- of flatten_hindered: what is left, one line each
    at     TEXT NOT NULL
) STRICT;
