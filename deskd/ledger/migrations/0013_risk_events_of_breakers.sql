-- risk_events tells circuit breakers, the account's own switch and the cancel of all that is open, too. Further kinds:
-- breaker_open, breaker_half_open, breaker_closed, trading_suspended, trading_resumed, cancel_all_requested,
-- cancel_all_answered.
ALTER TABLE risk_events ADD COLUMN until TEXT; -- of breaker_open: the end of the cool-down
