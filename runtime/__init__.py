"""What either service runs on, whatever it does: time, logs, health, its HTTP server, how it reaches Kafka."""
