"""Credentials for Kafka: certificates, passwords and tokens, as they are when a connection is made."""
