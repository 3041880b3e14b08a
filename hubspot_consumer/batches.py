"""Batches: from the folds of many contacts to what one call asks of HubSpot."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from hubspot_consumer.hubspot.requests import MOST_TIMELINE_ENTRIES, TimelineEntry, Upsert
from hubspot_consumer.lane import Fold, Pending
from hubspot_consumer.mapping import Properties, contact_properties, timeline_properties
from schemas.envelope import Envelope


class Batch:
    """Up to 100 contacts, each with its fold, correlated with HubSpot's answer by trace id."""

    def __init__(self, folds: Iterable[Fold]) -> None:
        # Unique in the call even when a hand-made producer used one event id for two contacts.
        self._folds: Final = {f"{position}:{fold.envelopes[-1].id}": fold for position, fold in enumerate(folds)}

    def upserts(self) -> list[Upsert]:
        return [
            Upsert(trace_id, fold.lane.key, folded_properties(fold.envelopes)) for trace_id, fold in self._folds.items()
        ]

    def fold(self, trace_id: str) -> Fold:
        return self._folds[trace_id]


def folded_properties(envelopes: Iterable[Envelope]) -> Properties:
    """Return the newest value of each property that the events set, in their order."""
    properties: Properties = {}
    for envelope in envelopes:
        properties |= contact_properties(envelope)
    return properties


TimelineItem = tuple[Fold, Pending, TimelineEntry]


def timeline_calls(folds: Iterable[Fold]) -> Iterator[Sequence[TimelineItem]]:
    """Yield the timeline entries of written folds, in the order of each contact, at most 500 for a call."""
    items: list[TimelineItem] = [
        (fold, event, _entry(fold, event.envelope))
        for fold in folds
        for event in fold.events
        if event.envelope is not None
    ]
    for start in range(0, len(items), MOST_TIMELINE_ENTRIES):
        yield items[start : start + MOST_TIMELINE_ENTRIES]


def _entry(fold: Fold, envelope: Envelope) -> TimelineEntry:
    return TimelineEntry(
        uuid=str(envelope.id),
        event_type=envelope.type,
        contact_key=fold.lane.key,
        contact_id=fold.lane.contact_id,
        occurred_at=envelope.occurred_at,
        properties=timeline_properties(envelope),
    )
