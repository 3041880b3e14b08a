"""Redriving: dead letters take effect in a projection of all events of their contacts, and get their resolutions."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from hubspot_consumer.dead_letters.catalogue import DeadLetterCatalogue
from hubspot_consumer.dead_letters.corrections import mended
from hubspot_consumer.dead_letters.dead_letter import Letter
from hubspot_consumer.dead_letters.resolution_writer import ResolutionWriter
from hubspot_consumer.dead_letters.resolutions import DeadAgain, Redriven
from hubspot_consumer.history.store import Stored
from hubspot_consumer.hubspot.outcomes import Rejected
from hubspot_consumer.kafka.records import Place
from hubspot_consumer.mapping import MappingFailed, map_event
from hubspot_consumer.reprocessing.report import Report
from runtime.clock import Clock
from schemas.contacts import ContactKey
from schemas.envelope import UnreadableRecord, read_envelope


@dataclass
class Legible:
    """Dead letters that can be read and mapped now, as events of their contacts, and the others with their errors."""

    events: list[Stored] = field(default_factory=list)
    letters: dict[ContactKey, list[Letter]] = field(default_factory=dict)
    unreadable: list[tuple[Letter, UnreadableRecord | Rejected]] = field(default_factory=list)

    @property
    def places(self) -> frozenset[Place]:
        """The records of these events, on their own topics and on the dead letters' topic."""
        own = (letter.places for letters in self.letters.values() for letter in letters)
        return frozenset(event.place for event in self.events).union(*own)


async def read_legible(catalogue: DeadLetterCatalogue, letters: Sequence[Letter], topic: str) -> Legible:
    """Read and map *letters*, which are on *topic*, with their corrections. Raises KafkaError."""
    legible = Legible()
    values = {letter.id: value async for letter, value in catalogue.values(letters)}
    for letter in letters:
        # A dead letter that Kafka has deleted meanwhile is treated like one that never had a value.
        value = values.get(letter.id) or b""
        try:
            envelope = read_envelope(letter.key, mended(value, letter.mend))
            map_event(envelope)
        except UnreadableRecord as error:
            legible.unreadable.append((letter, error))
            continue
        except MappingFailed as failed:
            legible.unreadable.append((letter, Rejected("mapping_failed", str(failed))))
            continue
        key, holder = ContactKey(envelope.contact.email), letter.holder
        legible.letters.setdefault(key, []).append(letter)
        # The place on the dead letters' topic is used, because the event's own topic may not have the event.
        place = (topic, holder.partition, holder.offset)
        legible.events.append(Stored(key, envelope.sequence, *place, holder.at_ms, value))
    return legible


class Redriving:
    """Writes the resolution of each dead letter, once its outcome at HubSpot is known.

    `resolved` has one JSON object for each dead letter: its id, its state and, if it is still dead, the reason.
    """

    def __init__(self, resolutions: ResolutionWriter, report: Report, run: str, clock: Clock) -> None:
        self._resolutions = resolutions
        self._report = report
        self._run: Final = run
        self._clock = clock
        self.resolved: list[dict[str, Any]] = []

    @property
    def redriven(self) -> int:
        return sum(each["state"] == "redriven" for each in self.resolved)

    @property
    def still_dead(self) -> int:
        return len(self.resolved) - self.redriven

    async def unreadable(self, letters: Sequence[tuple[Letter, UnreadableRecord | Rejected]]) -> None:
        """Resolve the dead letters that can't be read or mapped. Raises KafkaError."""
        for letter, error in letters:
            await self._dead(letter, error.reason, error.detail)

    async def written(self, letters: Sequence[Letter], *, suppressed: bool) -> None:
        """Resolve the dead letters of a contact by its outcome: accepted, refused or suppressed. Raises KafkaError."""
        by_event = {refused.event_id: refused for refused in self._report.refused if refused.event_id}
        contacts = {refused.contact: refused for refused in self._report.refused if not refused.event_id}
        taken = []
        for letter in letters:
            refused = by_event.get(letter.event_id) or (contacts.get(letter.contact) if letter.contact else None)
            if suppressed:
                await self._dead(letter, "suppressed", "the contact must not be written")
            elif refused is not None:
                await self._dead(letter, refused.reason, refused.detail)
            else:
                taken.append(letter)
        await self._resolutions.resolve(taken, Redriven(at=self._clock.now(), run=self._run))
        self.resolved += [{"id": letter.id, "state": "redriven"} for letter in taken]

    async def _dead(self, letter: Letter, reason: str, detail: str) -> None:
        dead = DeadAgain(
            at=self._clock.now(), run=self._run, reason=reason, detail=detail, attempts=letter.attempts + 1
        )
        await self._resolutions.resolve([letter], dead)
        self.resolved.append({"id": letter.id, "state": dead.state, "reason": reason, "detail": detail})
