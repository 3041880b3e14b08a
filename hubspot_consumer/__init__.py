"""Brings lifecycle events from Kafka to HubSpot: every one, in order for each contact, inside the quota."""
