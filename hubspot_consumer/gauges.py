"""Gauges: what the status reports at the moment of asking, as Prometheus metrics."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, get_args

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from hubspot_consumer.outcomes import HaltReason
from hubspot_consumer.settings import Mode

PREFIX: Final = "hubspot_consumer"
# What may be unwell: an alert that ends must be seen to end.
PARTS: Final = ("worker", "kafka", "reading", "portal", "hubspot", "progress")


class Gauges(Collector):
    """Reads *report* whenever somebody reads the metrics."""

    def __init__(self, report: Callable[[], Mapping[str, Any]]) -> None:
        self._report: Final = report

    def collect(self) -> Iterator[GaugeMetricFamily | CounterMetricFamily]:
        report = self._report()
        contacts = dict(report["contacts"])
        released = contacts.pop("holes_released", 0)
        halted = report["halted"]["reason"] if report["halted"] else None
        held = (report["reprocessing"] or {}).get("contacts_held", 0)
        yield _gauge(
            "mode", "1 for the mode of this worker", {(mode,): mode == report["mode"] for mode in _MODES}, "mode"
        )
        yield _gauge(
            "unwell",
            "1 while a part is unwell",
            {(part,): part in report["unwell"] for part in (*PARTS, *(report["unwell"].keys() - set(PARTS)))},
            "part",
        )
        yield _gauge(
            "halted",
            "1 while sending is halted, by reason",
            {(reason,): reason == halted for reason in get_args(HaltReason)},
            "reason",
        )
        yield _gauge("lag_events", "Events that the group has not acked", _by_one(report["lag"]), "topic")
        yield _gauge("contacts", "Contacts with pending events, by what they wait for", _by_one(contacts), "state")
        yield CounterMetricFamily(
            f"{PREFIX}_holes_released", "Contacts that went on without an event that never came", value=released
        )
        yield GaugeMetricFamily(f"{PREFIX}_contacts_held", "Contacts that a reprocessing run holds", value=held)
        lent = (report["quota"] or {}).get("lent", 0.0)
        yield GaugeMetricFamily(f"{PREFIX}_quota_lent", "Part of the quota that reprocessing has of it", value=lent)
        yield _gauge(
            "in_flight",
            "Events read and not finished, and calls without an answer",
            _by_one(report["in_flight"]),
            "what",
        )
        yield _gauge(
            "quota_calls",
            "Calls of this worker's part of the burst quota, and of the account's day, used and left",
            _quota(report["quota"]),
            "quota",
            "state",
        )


_MODES: Final[tuple[Mode, ...]] = get_args(Mode)


def _by_one(values: Mapping[str, float]) -> dict[tuple[str, ...], float]:
    return {(label,): value for label, value in values.items()}


def _quota(quota: Mapping[str, Any] | None) -> dict[tuple[str, ...], float]:
    if quota is None:
        return {}
    return {
        ("burst", "used"): quota["used"],
        ("burst", "left"): quota["left"],
        ("daily", "used"): quota["daily_limit"] - quota["daily_remaining"],
        ("daily", "left"): quota["daily_remaining"],
    }


def _gauge(name: str, text: str, values: Mapping[tuple[str, ...], float], *labels: str) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"{PREFIX}_{name}", text, labels=labels)
    for of, value in values.items():
        family.add_metric(of, float(value))
    return family
