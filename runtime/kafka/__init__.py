"""Kafka: how to connect, whether it lets us in, and its topics."""
