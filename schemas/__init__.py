"""The contract between the producer and the consumer: events, envelope, contact key, topic names."""
