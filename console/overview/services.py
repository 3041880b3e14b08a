"""The services: what workers and producers report about themselves over HTTP, and figures of their metrics."""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from math import inf, isfinite, isnan
from typing import Annotated, Any, Self, TypeVar

import httpx
from prometheus_client.parser import text_string_to_metric_families
from pydantic import AfterValidator, BaseModel, ConfigDict, FiniteFloat

from hubspot_consumer.settings import group_of
from schemas.texts import read_json

Key = TypeVar("Key", bound=Hashable)
Labels = Mapping[str, str]
Buckets = Sequence[tuple[float, float]]
"""A histogram: its upper bounds in order, each with a count."""


class _Shape(BaseModel):
    """What the overview needs of an answer, checked once, so that no answer can fail a page. More keys are allowed."""

    model_config = ConfigDict(strict=True)


class _Halt(_Shape):
    reason: str
    detail: str
    since: str


class _Quota(_Shape):
    limit: FiniteFloat
    window_s: FiniteFloat
    used: FiniteFloat
    daily_limit: FiniteFloat
    daily_remaining: FiniteFloat
    daily_resets_at: Annotated[str, AfterValidator(datetime.fromisoformat)] | None = None
    # Older workers do not tell what they lend.
    share: FiniteFloat | None = None
    lent: FiniteFloat = 0.0


class _InFlight(_Shape):
    events: FiniteFloat


class _Reprocessing(_Shape):
    run: str
    command: str


class _Service(_Shape):
    unwell: dict[str, str]
    # Version 0.1.0 did not tell it from the beginning.
    version: str | None = None


class _Worker(_Service):
    mode: str
    halted: _Halt | None
    quota: _Quota | None
    in_flight: _InFlight
    contacts: dict[str, FiniteFloat]
    reprocessing: _Reprocessing | None = None


@dataclass(frozen=True)
class Exposition:
    """The samples of one response of /metrics, by name. Samples without a finite value are left out."""

    samples: Mapping[str, Sequence[tuple[Labels, float]]]

    @classmethod
    def read(cls, text: str) -> Self:
        """Parse *text*. Raises ValueError if it is not in Prometheus' text format."""
        samples: dict[str, list[tuple[Labels, float]]] = {}
        for family in text_string_to_metric_families(text):
            for sample in filter(lambda each: isfinite(each.value), family.samples):
                samples.setdefault(sample.name, []).append((sample.labels, sample.value))
        return cls(samples)

    def total(self, name: str, **labels: str) -> float:
        """Return the sum over the samples of *name* that have these labels; 0 if there are none."""
        return sum(value for found, value in self.samples.get(name, ()) if labels.items() <= found.items())

    def buckets(self, name: str) -> Buckets:
        """Return a histogram's cumulative counts, summed over all labels."""
        counts = added((_bound(labels), value) for labels, value in self.samples.get(f"{name}_bucket", ()))
        return sorted(counts.items())


@dataclass(frozen=True)
class Report:
    """A service's report about itself: its `/v1/status`, and its metrics."""

    status: Mapping[str, Any]
    metrics: Exposition

    @property
    def unwell(self) -> Mapping[str, str]:
        """The reasons by part, without a worker's halt, which is told by itself."""
        return {part: why for part, why in self.status["unwell"].items() if part != "hubspot"}

    @property
    def group(self) -> str | None:
        """The consumer group of a worker; None if its mode has no group or it reports none."""
        settings, mode = self.status.get("settings"), self.status["mode"]
        name = settings.get("CONSUMER_GROUP") if isinstance(settings, dict) else None
        return group_of(str(name), mode) if name and mode in {"live", "dry_run"} else None


async def ask_worker(http: httpx.AsyncClient, url: str) -> Report:
    """Return the report of the worker at *url*. Raises httpx.HTTPError, and ValueError if it is not a worker."""
    return await _ask(http, url, _Worker)


async def ask_producer(http: httpx.AsyncClient, url: str) -> Report:
    """Return the report of the producer at *url*. Raises httpx.HTTPError, and ValueError if it is not a producer."""
    return await _ask(http, url, _Service)


async def _ask(http: httpx.AsyncClient, url: str, shape: type[_Shape]) -> Report:
    status = read_json((await http.get(f"{url}/v1/status")).raise_for_status().content)
    shape.model_validate(status)
    return Report(status, Exposition.read((await http.get(f"{url}/metrics")).raise_for_status().text))


def _bound(labels: Labels) -> float:
    try:
        bound = float(labels.get("le", ""))
    except ValueError:
        return inf
    return inf if isnan(bound) else bound


def added(counts: Iterable[tuple[Key, float]]) -> dict[Key, float]:
    """Return the sum of the counts of each key, in the order in which the keys first appear."""
    sums: dict[Key, float] = {}
    for key, count in counts:
        sums[key] = sums.get(key, 0) + count
    return sums


def quantile(share: float, buckets: Buckets) -> float | None:
    """Return the quantile *share*, between 0 and 1, of a histogram's cumulative *buckets*; None if they are empty.

    The value is interpolated within its bucket. If it lies in the infinite bucket, the last finite bound is returned.
    """
    if not buckets or buckets[-1][1] <= 0:
        return None
    wanted = share * buckets[-1][1]
    for (below, before), (bound, up_to) in pairwise([(0.0, 0.0), *buckets]):
        if up_to >= wanted:
            if bound == float("inf"):
                return below
            return below + (bound - below) * ((wanted - before) / (up_to - before) if up_to > before else 1.0)
    return None


def risen(now: Buckets, then: Buckets) -> Buckets:
    """Return the increase of each bucket; nothing if a count fell, since the service was then restarted."""
    before = dict(then)
    rises = [(bound, count - before.get(bound, 0.0)) for bound, count in now]
    return rises if all(rise >= 0 for _, rise in rises) else ()
