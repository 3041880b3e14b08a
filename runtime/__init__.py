"""Modules that both services use: time, logs, health, the HTTP server, the connection to Kafka."""
