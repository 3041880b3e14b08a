"""Batches: the updates of many contacts, turned into the inputs of one call to HubSpot."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, TypeVar

from hubspot_consumer.hubspot.requests import Upsert, last_event_ids
from hubspot_consumer.hubspot.schema import LAST_EVENT_ID
from hubspot_consumer.mapping import Properties
from hubspot_consumer.ordering.lane import ContactUpdate

Item = TypeVar("Item")


class Batch:
    """Up to 100 contact updates, matched with HubSpot's answer by trace id. Raises MappingFailed."""

    def __init__(self, updates: Iterable[ContactUpdate]) -> None:
        # The position makes the trace id unique, even where a hand-made producer used one event id for two contacts.
        self._updates: Final = {
            f"{position}:{update.envelopes[-1].id}": update for position, update in enumerate(updates)
        }
        self.upserts: Final = [
            Upsert(
                trace_id,
                update.lane.key,
                coalesced_properties(event.mapped.contact for event in update.events)
                | {LAST_EVENT_ID: last_event_ids(update.lane.key, update.lane.ids | update.ids)},
                [event.record for event in update.events],
                update.lane.attempts,
            )
            for trace_id, update in self._updates.items()
        ]

    def update(self, trace_id: str) -> ContactUpdate:
        return self._updates[trace_id]


def coalesced_properties(mapped: Iterable[Properties]) -> Properties:
    """Return the newest value of each property; *mapped* are the events' properties, oldest event first."""
    properties: Properties = {}
    for each in mapped:
        properties |= each
    return properties


def calls_of(items: Sequence[Item], most: int) -> Iterator[Sequence[Item]]:
    """Yield *items* in parts of up to *most*."""
    for start in range(0, len(items), most):
        yield items[start : start + most]


def halves(items: Sequence[Item]) -> tuple[Sequence[Item], Sequence[Item]]:
    """Return *items* in two parts, to find the input that makes HubSpot reject the whole call."""
    middle = (len(items) + 1) // 2
    return items[:middle], items[middle:]
