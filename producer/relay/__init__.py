"""The relay: from the outbox to Kafka, in the order of each contact."""
