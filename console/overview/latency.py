"""The latency: the time from an event's commit to HubSpot's answer, from the workers' histograms."""

from collections.abc import Iterable

from console.overview.services import Buckets, Report, added, quantile, risen
from console.overview.source import MINUTE_S, Source


def quantiles_of(workers: Iterable[Source[Report]]) -> tuple[float | None, float | None]:
    """Return the median and the 99th percentile over these *workers*, in seconds, of the last minute's deliveries."""
    rises = added(rise for source in workers for rise in source.between(MINUTE_S, _risen_ages) or ())
    buckets = sorted(rises.items())
    return quantile(0.5, buckets), quantile(0.99, buckets)


def in_words(seconds: float) -> str:
    """Return a latency with its unit."""
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def _risen_ages(now: Report, then: Report) -> Buckets:
    name = "hubspot_consumer_event_age_seconds"
    return risen(now.metrics.buckets(name), then.metrics.buckets(name))
