"""The order of each contact's events."""
