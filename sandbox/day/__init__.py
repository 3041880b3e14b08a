"""A day of traffic: the events that are committed, their outcomes, and the comparison of both."""
