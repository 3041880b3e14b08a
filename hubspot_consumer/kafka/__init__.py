"""Reads Kafka: records in order without a gap, offsets, lag, and topics that all workers follow."""
