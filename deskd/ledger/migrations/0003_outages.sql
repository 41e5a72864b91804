-- Outages of the broker's streams. Lists and counts by strategy are JSON; ended_at is NULL while one goes on.
CREATE TABLE outages (
    stream       TEXT NOT NULL, -- trades or market
    started_at   TEXT NOT NULL,
    ended_at     TEXT,          -- the stream was up again
    closed_at    TEXT,          -- and what was missed was made up for
    why          TEXT NOT NULL,
    affected     TEXT NOT NULL, -- ["alice", ...]
    open_orders  INTEGER NOT NULL,
    refusals     TEXT NOT NULL, -- {"alice": 3, ...}: orders not taken meanwhile
    bars_fetched INTEGER NOT NULL,
    bars_missing INTEGER NOT NULL,
    is_cut_short INTEGER NOT NULL,
    PRIMARY KEY (stream, started_at)
) STRICT;
