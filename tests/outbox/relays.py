"""Relays of a test, as processes."""

from pathlib import Path
from typing import Any

from sandbox.processes import free_port
from sandbox.services import Service, producer


def relay_of(directory: Path, database_url: str, kafka: Any, topic_prefix: str, **more: str) -> Service:
    """Return a relay with /v1/health on a port of its own; *more* are further settings."""
    environment = {
        "DATABASE_URL": database_url,
        "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "KAFKA_TOPIC_PREFIX": topic_prefix,
        "PRODUCER_PORT": str(free_port()),
        **more,
    }
    return producer(directory, environment)
