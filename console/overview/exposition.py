"""The exposition: a service's metrics from /metrics, by name."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Self

from prometheus_client.parser import text_string_to_metric_families

Labels = Mapping[str, str]


@dataclass(frozen=True)
class Exposition:
    """The samples of one response of /metrics, by name."""

    samples: Mapping[str, Sequence[tuple[Labels, float]]] = field(default_factory=dict)

    @classmethod
    def read(cls, text: str) -> Self:
        """Parse *text*. Raises ValueError if it is not in Prometheus' text format."""
        samples: dict[str, list[tuple[Labels, float]]] = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                samples.setdefault(sample.name, []).append((sample.labels, sample.value))
        return cls(samples)

    def total(self, name: str, **labels: str) -> float:
        """Return the sum over the samples of *name* that have these labels; 0 if there are none."""
        return sum(value for found, value in self.samples.get(name, ()) if labels.items() <= found.items())

    def buckets(self, name: str) -> list[tuple[float, float]]:
        """Return a histogram's upper bounds with their cumulative counts, summed over all labels."""
        counts: dict[float, float] = {}
        for labels, value in self.samples.get(f"{name}_bucket", ()):
            bound = float(labels["le"])
            counts[bound] = counts.get(bound, 0) + value
        return sorted(counts.items())


def quantile(share: float, buckets: Sequence[tuple[float, float]]) -> float | None:
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


def risen(now: Sequence[tuple[float, float]], then: Sequence[tuple[float, float]]) -> Iterator[tuple[float, float]]:
    """Yield the increase of each bucket; nothing if a count fell, since the service was then restarted."""
    before = dict(then)
    rises = [(bound, count - before.get(bound, 0.0)) for bound, count in now]
    if all(rise >= 0 for _, rise in rises):
        yield from rises
