"""The present state: compares the projection of a contact's events with the remote contact. One read call is made."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import httpx

from console.contacts.extract import Extract
from console.contacts.index import Index
from hubspot_consumer.dead_letters.corrections import Correction
from hubspot_consumer.dead_letters.dead_letter import places_of
from hubspot_consumer.doctor.portal import FewCalls
from hubspot_consumer.history.email_changes import JoinedKeys
from hubspot_consumer.history.projection import Projection, Projector, Selection
from hubspot_consumer.history.store import Stored
from hubspot_consumer.hubspot.client import HubSpotClient
from hubspot_consumer.hubspot.connection import CallMade, http_client
from hubspot_consumer.hubspot.requests import HeldContacts
from hubspot_consumer.hubspot.schema import SEQUENCE
from hubspot_consumer.kafka.records import Partition, Place
from hubspot_consumer.reprocessing.comparison import ComparedProperty, applied_to, compared, expected_of
from hubspot_consumer.settings import Settings
from runtime.clock import Clock
from schemas.contacts import ContactKey

HUBSPOT_WITHIN_S: Final = 20.0
# The limit bounds the events to project: each key has its own events, and people rarely change their email.
MOST_KEYS: Final = 10
HUBSPOT: Final = ".hubapi.com"


class NotCompared(Exception):
    """HubSpot was not called, or gave no usable answer; the message says why."""


@dataclass(frozen=True)
class Comparison:
    """`applied` is the sequence of the remote contact, and `projection` that of the events applied or acked by now.

    `waiting` counts the events after that, `set_aside` the dead letters' records, whose values are not expected.
    """

    contact_id: str | None
    applied: int
    projection: Projection
    waiting: int
    set_aside: int
    properties: Sequence[ComparedProperty]
    moved_to: ContactKey | None = None

    @property
    def differing(self) -> int:
        return sum(each.verdict != "same" for each in self.properties)


@dataclass(frozen=True)
class _Known:
    """Data of all keys of the contact. *moves* are its email changes, from key to key, the oldest first."""

    events: Mapping[ContactKey, Sequence[Stored]]
    moves: Sequence[tuple[ContactKey, ContactKey]]
    set_aside: Mapping[ContactKey, frozenset[Place]]
    reused: frozenset[Place]
    corrections: Mapping[Place, Correction]


class PresentState:
    """Compares contacts through the consumer's HubSpot client. Without a token it makes no calls."""

    def __init__(
        self, settings: Settings, index: Index, clock: Clock, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self._settings: Final = settings
        self._index: Final = index
        self._client: Final = HubSpotClient(
            http_client(settings.hubspot_api_base_url, settings.read_token, transport),
            FewCalls(clock),
            settings.hubspot_api_version,
            settings.hubspot_portal_id or 0,
            _count,
            settings.hubspot_id_property,
        )

    async def close(self) -> None:
        await self._client.close()

    @property
    def can_ask(self) -> bool:
        return self._settings.hubspot_private_app_token is not None

    def link(self, contact_id: str) -> str:
        """Return the address of a contact's page at HubSpot, or that of the simulator if it replaces HubSpot."""
        base, portal = self._settings.hubspot_api_base_url, self._settings.hubspot_portal_id
        if not (httpx.URL(base).host.endswith(HUBSPOT) and portal):
            return f"{base}/"
        return f"https://app.hubspot.com/contacts/{portal}/record/0-1/{contact_id}"

    async def compare(self, key: ContactKey, acked: Mapping[Partition, int]) -> Comparison:
        """Compare a contact's projection with the remote contact. Raises NotCompared and IndexAway."""
        if not self.can_ask:
            raise NotCompared("HUBSPOT_PRIVATE_APP_TOKEN is not set, so HubSpot is not asked")
        known = await asyncio.to_thread(self._known, key)
        set_aside = frozenset[Place]().union(*known.set_aside.values())
        selection = Selection(set_aside=set_aside, reused=known.reused, mends=known.corrections, dead_letters=False)
        projector = Projector(selection, {})
        names = (await asyncio.to_thread(projector.project, key, *known.events.values())).properties
        remote = await self._remote_contacts(list(known.events), names)
        return await asyncio.to_thread(_compared, key, known, projector, remote, acked)

    def _known(self, key: ContactKey) -> _Known:
        with Extract.of(self._index, self._settings.topics) as extract:
            keys, moves = [key], dict[tuple[ContactKey, ContactKey], int]()
            for each in keys:
                for at_ms, previous, after in extract.moves(each):
                    if len({*keys, previous, after}) <= MOST_KEYS:
                        moves[previous, after] = at_ms
                        keys += [one for one in (previous, after) if one not in keys]
            events = {each: extract.stored(each) for each in keys}
            letters = {each: extract.letters(each) for each in keys}
            set_aside = {each: places_of(letter for letter in letters[each] if not letter.in_effect) for each in keys}
            corrected = [(letter.mend, letter.places) for each in keys for letter in letters[each]]
            corrections = {place: each for each, places in corrected if each is not None for place in places}
            reused = places_of(letter for each in keys for letter in letters[each] if letter.is_reused)
            return _Known(events, sorted(moves, key=moves.__getitem__), set_aside, reused, corrections)

    async def _remote_contacts(self, keys: Sequence[ContactKey], names: Mapping[str, str]) -> HeldContacts:
        try:
            async with asyncio.timeout(HUBSPOT_WITHIN_S):
                remote = await self._client.remote_contacts(keys, names)
        except TimeoutError:
            raise NotCompared("HubSpot does not answer in time") from None
        if not isinstance(remote, dict):
            raise NotCompared(f"HubSpot does not say: {remote.detail}")
        if missing := [each for each in keys if each not in remote]:
            raise NotCompared(f"HubSpot's answer leaves {len(missing)} of {len(keys)} emails out: try again")
        return remote


def _compared(
    key: ContactKey, known: _Known, projector: Projector, remote: HeldContacts, acked: Mapping[Partition, int]
) -> Comparison:
    contact, joined, at_hubspot = remote[key], JoinedKeys(), dict(remote)
    for previous, after in known.moves:
        joined.join(previous, after, at_hubspot)
    keys = joined.histories(key)
    expected = expected_of(projector, key, [known.events[each] for each in keys], contact, acked)
    later = (after for previous, after in reversed(known.moves) if key in (previous, *joined.histories(after)))
    return Comparison(
        contact_id=contact.contact_id if contact else None,
        applied=applied_to(contact),
        projection=expected.projection,
        waiting=expected.waiting,
        set_aside=sum(len(known.set_aside[each]) for each in keys),
        # The sequence comes first: it shows how far the remote contact is.
        properties=sorted(compared(expected.projection, contact), key=lambda each: (each.name != SEQUENCE, each.name)),
        moved_to=next((each for each in later if each != key and remote[each] is not None), None),
    )


def _count(_call: CallMade) -> None:
    """The console has no metrics of its few calls."""
