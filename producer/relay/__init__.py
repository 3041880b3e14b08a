"""The relay: it publishes the outbox to Kafka, in the order of each contact."""
