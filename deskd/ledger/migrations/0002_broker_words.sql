-- What the broker said last of an order and by which road, and which order took which one's place.
ALTER TABLE orders ADD COLUMN broker_status TEXT NOT NULL DEFAULT '';
ALTER TABLE orders ADD COLUMN source TEXT NOT NULL DEFAULT '';
ALTER TABLE orders ADD COLUMN replaces TEXT;
ALTER TABLE orders ADD COLUMN replaced_by TEXT;
