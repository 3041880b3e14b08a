"""The services: what workers and producers report about themselves over HTTP."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import httpx

from console.overview.exposition import Exposition
from hubspot_consumer.settings import group_of

# The keys that a worker's status must have.
NEEDED: Final = frozenset({"mode", "unwell", "halted", "quota", "in_flight", "contacts"})


@dataclass(frozen=True)
class WorkerStatus:
    """The `/v1/status` of a worker, and its metrics."""

    status: Mapping[str, Any]
    metrics: Exposition

    @property
    def group(self) -> str | None:
        """The consumer group of the worker; None if its mode has no group or it reports none."""
        told, mode = self.status.get("settings"), self.status["mode"]
        name = told.get("CONSUMER_GROUP") if isinstance(told, dict) else None
        return group_of(str(name), mode) if name and mode in {"live", "dry_run"} else None

    @property
    def delivered(self) -> float:
        return self.metrics.total("hubspot_consumer_events_delivered_total")

    @property
    def calls(self) -> float:
        return self.metrics.total("hubspot_consumer_calls_total")

    @property
    def rate_limited(self) -> float:
        return self.metrics.total("hubspot_consumer_calls_total", status="429")

    @property
    def dead_letters(self) -> float:
        return self.metrics.total("hubspot_consumer_dead_letters_total")

    @property
    def ages(self) -> list[tuple[float, float]]:
        """The histogram of the time from commit to HubSpot's answer, in seconds."""
        return self.metrics.buckets("hubspot_consumer_event_age_seconds")


@dataclass(frozen=True)
class Producer:
    """The `/v1/health` of a producer, and its metrics."""

    health: Mapping[str, Any]
    metrics: Exposition

    @property
    def published(self) -> float:
        return self.metrics.total("producer_events_published_total")

    @property
    def active(self) -> bool:
        return self.metrics.total("producer_relay_active") == 1


async def ask_worker(http: httpx.AsyncClient, url: str) -> WorkerStatus:
    """Return the status of the worker at *url*. Raises httpx.HTTPError, and ValueError if it is not a worker."""
    status = (await http.get(f"{url}/v1/status")).raise_for_status().json()
    if not isinstance(status, dict) or not status.keys() >= NEEDED:
        raise ValueError(f"{url} is not a worker, or has another version")
    return WorkerStatus(status, Exposition.read((await http.get(f"{url}/metrics")).raise_for_status().text))


async def ask_producer(http: httpx.AsyncClient, url: str) -> Producer:
    """Return the health of the producer at *url*. Raises httpx.HTTPError, and ValueError if it is not a producer."""
    # The status is not checked: a producer with unwell parts answers 503 with the same body.
    health = (await http.get(f"{url}/v1/health")).json()
    if not isinstance(health, dict) or "unwell" not in health:
        raise ValueError(f"{url} is not a producer")
    return Producer(health, Exposition.read((await http.get(f"{url}/metrics")).raise_for_status().text))
