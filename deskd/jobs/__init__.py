"""The desk's day: which jobs there are, when each is due, and what each does."""
