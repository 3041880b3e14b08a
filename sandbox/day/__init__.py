"""A day of traffic: what is committed, what became of it, and the account of both."""
