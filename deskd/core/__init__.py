"""The desk's decisions. Pure: events in, facts kept, effects out."""
