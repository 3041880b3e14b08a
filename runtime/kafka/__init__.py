"""Kafka: the connection, the check whether the brokers accept it, and topics."""
