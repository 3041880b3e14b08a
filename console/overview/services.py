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
class Report:
    """A service's report about itself: a worker's `/v1/status` or a producer's `/v1/health`, and its metrics."""

    status: Mapping[str, Any]
    metrics: Exposition

    @property
    def group(self) -> str | None:
        """The consumer group of a worker; None if its mode has no group or it reports none."""
        settings, mode = self.status.get("settings"), self.status["mode"]
        name = settings.get("CONSUMER_GROUP") if isinstance(settings, dict) else None
        return group_of(str(name), mode) if name and mode in {"live", "dry_run"} else None


async def ask_worker(http: httpx.AsyncClient, url: str) -> Report:
    """Return the report of the worker at *url*. Raises httpx.HTTPError, and ValueError if it is not a worker."""
    status = (await http.get(f"{url}/v1/status")).raise_for_status().json()
    if not isinstance(status, dict) or not status.keys() >= NEEDED:
        raise ValueError(f"{url} is not a worker, or has another version")
    return Report(status, Exposition.read((await http.get(f"{url}/metrics")).raise_for_status().text))


async def ask_producer(http: httpx.AsyncClient, url: str) -> Report:
    """Return the report of the producer at *url*. Raises httpx.HTTPError, and ValueError if it is not a producer."""
    # The status code is not checked: a producer with unwell parts answers 503 with the same body.
    health = (await http.get(f"{url}/v1/health")).json()
    if not isinstance(health, dict) or "unwell" not in health:
        raise ValueError(f"{url} is not a producer")
    return Report(health, Exposition.read((await http.get(f"{url}/metrics")).raise_for_status().text))
