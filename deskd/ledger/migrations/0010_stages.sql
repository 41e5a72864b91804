-- How far each strategy was brought into use: paused, shadow or active.
ALTER TABLE strategies ADD COLUMN stage TEXT;
