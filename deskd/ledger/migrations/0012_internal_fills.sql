-- Fills that two strategies exchanged at the desk: the broker knows nothing of them.
ALTER TABLE fills ADD COLUMN is_internal INTEGER NOT NULL DEFAULT 0;
