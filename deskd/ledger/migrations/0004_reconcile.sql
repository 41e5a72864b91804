-- What the books and the broker disagreed on, and what became of it. *more* is what the house took; where it is empty
-- the discrepancy was about an order, and reconciled by itself.
CREATE TABLE discrepancies (
    id          INTEGER PRIMARY KEY,
    subject     TEXT NOT NULL,
    found_at    TEXT NOT NULL,
    expected    TEXT NOT NULL,
    actual      TEXT NOT NULL,
    action      TEXT NOT NULL,
    more        TEXT,
    resolved_at TEXT,
    resolved_by TEXT,
    reason      TEXT
) STRICT;
CREATE INDEX discrepancies_open ON discrepancies (subject) WHERE resolved_at IS NULL AND more IS NOT NULL;

-- What the house book took, by cause, with the line of the broker's history that it comes from.
CREATE TABLE house_bookings (
    id          INTEGER PRIMARY KEY,
    cause       TEXT NOT NULL,
    activity_id TEXT,
    symbol      TEXT,
    qty         TEXT NOT NULL,
    price       TEXT,
    cash        TEXT NOT NULL,
    why         TEXT NOT NULL,
    at          TEXT NOT NULL
) STRICT;
CREATE INDEX house_bookings_by_cause ON house_bookings (cause, at);
