"""The timeline entries of contacts that were written again: they have the same ids, so that none appears twice."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from operator import itemgetter
from typing import Final

from hubspot_consumer.delivery.batches import calls_of
from hubspot_consumer.delivery.timeline import Timeline
from hubspot_consumer.gates.retries import Retries
from hubspot_consumer.history.projection import is_at_or_after
from hubspot_consumer.hubspot.outcomes import Refusal
from hubspot_consumer.hubspot.requests import MOST_CONTACTS_OF_NOTES, MOST_TIMELINE_ENTRIES
from hubspot_consumer.kafka.records import Offsets
from hubspot_consumer.ordering.lane import ContactUpdate
from hubspot_consumer.reprocessing.report import Report
from runtime.clock import Clock


class TimelineEntries:
    """Sends timeline entries. *unfinished* are the offsets that the workers' group had reached when the run began."""

    def __init__(
        self, *, timeline: Timeline, retries: Retries, report: Report, clock: Clock, unfinished: Offsets
    ) -> None:
        self._timeline = timeline
        self._retries = retries
        self._report = report
        self._clock = clock
        self._unfinished: Final = unfinished

    async def leave(self, updates: Sequence[ContactUpdate], over_s: float = 0.0) -> None:
        """Return when HubSpot has accepted or rejected each entry; waits out temporary failures.

        The calls are spread over *over_s* seconds: sent in a row, they would take all of HubSpot's capacity meanwhile.
        """
        if self._timeline.mode == "off":
            return
        # Notes are looked up before they are created, and one look-up takes the most contacts.
        most = MOST_CONTACTS_OF_NOTES if self._timeline.mode == "notes" else MOST_TIMELINE_ENTRIES
        parts = list(_filling_calls(updates, most))
        began = self._clock.monotonic()
        for number, part in enumerate(parts):
            await self._clock.sleep(began + over_s * number / len(parts) - self._clock.monotonic())
            await self._leave(part)

    async def _leave(self, updates: Sequence[ContactUpdate]) -> None:
        async def attempt() -> Refusal | None:
            nonlocal updates
            keys = {update.lane.key for update in updates}
            # Other contacts may be refused meanwhile.
            refused_before = sum(one.contact in keys for one in self._report.refused)
            allowed = [self._allowed(update) for update in updates]
            again = await self._timeline.leave(allowed)
            if self._timeline.mode != "off":
                refused = sum(one.contact in keys for one in self._report.refused) - refused_before
                left = sum(len(update.events) for update in allowed) - sum(len(update.events) for update in again)
                self._report.timeline_entries += left - refused
            updates = list(again)
            return next(iter(again.values()), None)

        await self._retries.until_done(attempt)

    def _allowed(self, update: ContactUpdate) -> ContactUpdate:
        if self._timeline.mode != "notes":
            return update
        # HubSpot stores every copy of a note, so workers send the notes of events that their group has not finished.
        return replace(
            update, events=[event for event in update.events if not is_at_or_after(event.record, self._unfinished)]
        )


def _filling_calls(updates: Sequence[ContactUpdate], most: int) -> Iterator[list[ContactUpdate]]:
    """Yield *updates* in parts of *most* events, except the last; a contact may be in several parts."""
    events = [(update, event) for update in updates for event in update.events]
    for together in calls_of(events, most):
        parts = groupby(together, key=itemgetter(0))
        yield [replace(update, events=[event for _, event in part]) for update, part in parts]
