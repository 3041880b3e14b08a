"""The HTTP server of the services: its connections, health and metrics."""
