"""What a service tells on /metrics, as figures by their names."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Self

from prometheus_client.parser import text_string_to_metric_families

Labels = Mapping[str, str]


@dataclass(frozen=True)
class Exposition:
    """The samples of one answer."""

    samples: Mapping[str, Sequence[tuple[Labels, float]]] = field(default_factory=dict)

    @classmethod
    def read(cls, text: str) -> Self:
        """Return what *text* says. Raises ValueError where it is none of Prometheus' text format."""
        samples: dict[str, list[tuple[Labels, float]]] = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                samples.setdefault(sample.name, []).append((sample.labels, sample.value))
        return cls(samples)

    def total(self, name: str, **labels: str) -> float:
        """Return the sum over the samples of *name* that have these labels; 0 where there is none."""
        return sum(value for found, value in self.samples.get(name, ()) if labels.items() <= found.items())

    def buckets(self, name: str) -> list[tuple[float, float]]:
        """Return a histogram's upper bounds and how many are up to each, over all its labels."""
        counts: dict[float, float] = {}
        for labels, value in self.samples.get(f"{name}_bucket", ()):
            bound = float(labels["le"])
            counts[bound] = counts.get(bound, 0) + value
        return sorted(counts.items())


def quantile(share: float, buckets: Sequence[tuple[float, float]]) -> float | None:
    """Return the value that *share* of all are up to, as exactly as the bounds allow; None of nothing.

    Of what is beyond the last bound, that bound is all that is known.
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
    """Yield by how much the buckets have risen; nothing where they begin anew."""
    before = dict(then)
    rises = [(bound, count - before.get(bound, 0.0)) for bound, count in now]
    if all(rise >= 0 for _, rise in rises):
        yield from rises
