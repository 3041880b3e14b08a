"""The history: each contact's events, read again from the topics from a given time on."""
