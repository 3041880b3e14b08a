"""The intake: events over HTTP, for services without the outbox's database."""
