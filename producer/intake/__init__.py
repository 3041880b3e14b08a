"""The intake: it accepts events over HTTP from services without access to the outbox's database."""
