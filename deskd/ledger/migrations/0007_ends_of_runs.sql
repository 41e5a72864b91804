-- The whole story of a run's end. Of runs that ended before this was kept, the columns are empty.
ALTER TABLE runs ADD COLUMN exit_code INTEGER;
ALTER TABLE runs ADD COLUMN memory_max_bytes INTEGER;
ALTER TABLE runs ADD COLUMN memory_growth_bytes INTEGER; -- in its last seconds
ALTER TABLE runs ADD COLUMN throttled_seconds REAL;
ALTER TABLE runs ADD COLUMN throttled_periods INTEGER;   -- of *periods*
ALTER TABLE runs ADD COLUMN periods INTEGER;
ALTER TABLE runs ADD COLUMN lines_delivered INTEGER;
ALTER TABLE runs ADD COLUMN lines_handled INTEGER;       -- as the run itself said
ALTER TABLE runs ADD COLUMN last_line TEXT;              -- as the run itself said
ALTER TABLE runs ADD COLUMN traceback TEXT;
ALTER TABLE runs ADD COLUMN source_line TEXT;            -- the member's line that the traceback points to
ALTER TABLE runs ADD COLUMN output TEXT;                 -- JSON: its last lines
