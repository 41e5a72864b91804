-- The ledger's signed roots: a projection of the facts RootSigned.
CREATE TABLE roots (
    seq        INTEGER PRIMARY KEY, -- the last entry that the root covers
    market_day TEXT NOT NULL,
    root       TEXT NOT NULL,       -- the hash of that entry
    public_key TEXT NOT NULL,
    signature  TEXT NOT NULL,
    at         TEXT NOT NULL
) STRICT;
