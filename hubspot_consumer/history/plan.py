"""The plan: what a run would write and what that costs, computed by projecting all events before any write."""

import asyncio
import math
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from hubspot_consumer.delivery.timeline import TimelineMode
from hubspot_consumer.history.processes import processes, processes_for
from hubspot_consumer.history.projection import Projection, Projector
from hubspot_consumer.history.store import EventStore
from hubspot_consumer.hubspot.requests import (
    MOST_CONTACTS_OF_NOTES,
    MOST_NOTES,
    MOST_TIMELINE_ENTRIES,
    MOST_UPSERTS,
)

# Events per process.
WORTH_A_PROCESS: Final = 50_000
MOST_EXAMPLES: Final = 5


@dataclass(frozen=True)
class Tally:
    """Counts of selected events, and of contacts that have any. `unreadable` and `unmapped` events can't take effect.

    `examples` name some of the unmapped events, each with its reason.
    """

    events: int = 0
    contacts: int = 0
    unreadable: int = 0
    unmapped: int = 0
    examples: tuple[str, ...] = ()

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(
            self.events + other.events,
            self.contacts + other.contacts,
            self.unreadable + other.unreadable,
            self.unmapped + other.unmapped,
            (*self.examples, *other.examples)[:MOST_EXAMPLES],
        )

    @classmethod
    def of(cls, projection: Projection) -> "Tally":
        """Return the tally of one contact."""
        examples = tuple(f"{envelope.id}: {why}" for envelope, why in projection.unmapped[:MOST_EXAMPLES])
        return cls(len(projection.events), projection.wanted, projection.unreadable, len(projection.unmapped), examples)

    def lines_of_unmapped(self) -> Iterator[str]:
        """Yield the lines that report the unmapped events to a person."""
        if self.unmapped:
            yield f"{self.unmapped:,} events that can't be mapped are skipped: correct the mapping, and run it again"
            yield from (f"  {each}" for each in self.examples)


@dataclass(frozen=True)
class RunPlan:
    """The calls of a run. `takes` is its duration at the run's share of the quota, without errors from HubSpot."""

    read: int
    tally: Tally
    upserts: int
    timeline_calls: int
    takes: timedelta

    @classmethod
    def of(cls, read: int, tally: Tally, timeline: TimelineMode, calls_per_s: float) -> "RunPlan":
        upserts = math.ceil(tally.contacts / MOST_UPSERTS)
        match timeline:
            case "custom_events":
                entries, in_slots = math.ceil(tally.events / MOST_TIMELINE_ENTRIES), 0
            case "notes":
                # Existing notes are searched for first: a page of each contact's notes, and then their texts.
                in_slots = 2 * math.ceil(tally.events / MOST_NOTES)
                entries = in_slots + math.ceil(tally.contacts / MOST_CONTACTS_OF_NOTES)
            case "off":
                entries = in_slots = 0
        return cls(read, tally, upserts, entries, timedelta(seconds=(upserts + in_slots) / calls_per_s))

    def as_json(self) -> Mapping[str, Any]:
        return {
            "events_read": self.read,
            "events": self.tally.events,
            "contacts": self.tally.contacts,
            "unreadable": self.tally.unreadable,
            "unmapped": self.tally.unmapped,
            "unmapped_examples": self.tally.examples,
            "calls": {"upsert": self.upserts, "timeline": self.timeline_calls},
            "takes_s": round(self.takes.total_seconds()),
        }


async def tallied(file: Path, store: EventStore, projector: Projector) -> Tally:
    """Return the tally of all events in *file*; many events are projected in parallel processes."""
    number = processes_for(store.size, WORTH_A_PROCESS)
    if number == 1:
        return _tally(file, projector, "", None)
    borders = ["", *store.borders(number)]
    loop = asyncio.get_running_loop()
    with processes(number) as pool:
        parts = [
            loop.run_in_executor(pool, _tally, file, projector, after, up_to)
            for after, up_to in zip(borders, [*borders[1:], None], strict=True)
        ]
        return sum(await asyncio.gather(*parts), Tally())


def _tally(file: Path, projector: Projector, after: str, up_to: str | None) -> Tally:
    with closing(EventStore(file)) as store:
        contacts = store.by_contact(after, up_to)
        # A mapping is written for each event's contact properties. An entry has the payload's fields, and can be made.
        projections = (projector.project(key, stored, counting=True) for key, stored in contacts)
        return sum(map(Tally.of, projections), Tally())
