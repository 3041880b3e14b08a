"""What alerts and the dashboard ask of Prometheus, held against what /metrics tells."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import promql_parser
from prometheus_client.parser import text_string_to_metric_families

# What Prometheus itself adds, and what a histogram's buckets have.
OF_PROMETHEUS: Final = frozenset({"job", "instance", "le"})
METRICS_OF_PROMETHEUS: Final = frozenset({"up", "ALERTS"})
SAMPLES_OF: Final[Mapping[str, tuple[str, ...]]] = {
    "counter": ("_total",),
    "histogram": ("_bucket", "_sum", "_count"),
    "gauge": ("",),
}


class Selection(NamedTuple):
    """A metric that a query reads, and which values of its labels it asks for by name."""

    metric: str
    asked: Mapping[str, frozenset[str]]


class Query:
    """An expression of PromQL. Raises ValueError where Prometheus would not read it."""

    def __init__(self, expression: str) -> None:
        # Grafana puts a duration in its place.
        self._parsed = promql_parser.parse(expression.replace("$__rate_interval", "5m"))
        self.selections: list[Selection] = []
        self.grouped_by: set[str] = set()
        promql_parser.walk(self._parsed, self._visit)

    def _visit(self, node: Any) -> bool:
        if isinstance(node, promql_parser.VectorSelector):
            asked = {one.name: frozenset(re.split(r"\|", one.value)) for one in node.matchers.matchers if one.value}
            self.selections.append(Selection(node.name or "", asked))
        elif isinstance(node, promql_parser.AggregateExpr) and node.modifier is not None:
            self.grouped_by |= set(node.modifier.labels)
        elif isinstance(node, promql_parser.BinaryExpr) and node.modifier is not None and node.modifier.matching:
            self.grouped_by |= set(node.modifier.matching.labels)
        return True


@dataclass
class Exposed:
    """The metrics of running services: the values of each label of each sample's name."""

    labels: defaultdict[str, defaultdict[str, set[str]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(set))
    )
    # Those that no event has given a series yet.
    empty: set[str] = field(default_factory=set)

    def add(self, text: str) -> None:
        """Take what /metrics answered, in the text format."""
        for family in text_string_to_metric_families(text):
            for suffix in SAMPLES_OF.get(family.type, ("",)):
                name = family.name + suffix
                of = [one.labels for one in family.samples if one.name == name]
                self.labels[name].update({})
                if not of:
                    self.empty.add(name)
                for labels in of:
                    for label, value in labels.items():
                        self.labels[name][label].add(value)

    def faults_of(self, queries: Iterable[str]) -> Iterator[str]:
        """Yield what queries ask for that is not there: a metric, a label, or one of its values."""
        for expression in queries:
            query = Query(expression)
            for metric, asked in query.selections:
                if metric in METRICS_OF_PROMETHEUS:
                    continue
                if metric not in self.labels:
                    yield f"no metric {metric}: {expression}"
                elif metric not in self.empty:
                    yield from self._faults_of_labels(metric, asked, expression)
            known = set[str]().union(*(self.labels[one.metric] for one in query.selections), OF_PROMETHEUS)
            if all(one.metric not in self.empty for one in query.selections) and not query.grouped_by <= known:
                yield f"no label {query.grouped_by - known}: {expression}"

    def _faults_of_labels(self, metric: str, asked: Mapping[str, frozenset[str]], expression: str) -> Iterator[str]:
        for label, values in asked.items():
            if label in OF_PROMETHEUS:
                continue
            if missing := values - self.labels[metric][label]:
                yield f"{metric} has no {label} {sorted(missing)}: {expression}"
