"""Turns ready lanes into calls to HubSpot, and handles the outcome of each event."""
