"""The overview: figures of the outbox, Kafka, the producers and the workers, and what the console derives from them."""
