"""Keeps the events of each contact in order."""
