"""The present state: what a contact's events come to, beside what HubSpot holds of it now. One call, which reads."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import httpx

from console.contacts.extract import Extract
from console.contacts.index import Index
from console.contacts.index_rows import Partition
from hubspot_consumer.dead_letters.corrections import Mend
from hubspot_consumer.doctor.portal import FewCalls
from hubspot_consumer.history.projection import Refold, Refolding
from hubspot_consumer.history.selection import Selection
from hubspot_consumer.history.store import Stored
from hubspot_consumer.hubspot.client import CallMade, HubSpotClient
from hubspot_consumer.hubspot.connection import http_client
from hubspot_consumer.hubspot.outcomes import RetryLater
from hubspot_consumer.hubspot.requests import HeldContact, HeldContacts
from hubspot_consumer.kafka.records import Place
from hubspot_consumer.reprocessing.comparison import SEQUENCE, applied_to, same
from hubspot_consumer.settings import Settings
from runtime.clock import Clock
from schemas.contacts import ContactKey

ANSWER_WITHIN_S: Final = 20.0
# Each has its own events to fold; nobody changes their email so often.
MOST_KEYS: Final = 10
HUBSPOT: Final = ".hubapi.com"

Verdict = Literal["same", "differs", "empty"]


class CannotTell(Exception):
    """HubSpot was not asked, or does not tell; the message says why."""


@dataclass(frozen=True)
class Property:
    name: str
    expected: str
    held: str
    verdict: Verdict


@dataclass(frozen=True)
class Comparison:
    """`applied` is the sequence that HubSpot's contact has, `expected` that of the events that took effect by now.

    `waiting` are events that come after it, `set_aside` are dead letters whose values are not expected.
    """

    contact_id: str | None
    applied: int
    expected: int
    waiting: int
    set_aside: int
    unreadable: int
    unmapped: int
    properties: Sequence[Property]
    moved_to: ContactKey | None = None

    @property
    def differing(self) -> int:
        return sum(each.verdict != "same" for each in self.properties)


@dataclass(frozen=True)
class _Known:
    histories: Mapping[ContactKey, Sequence[Stored]]
    keys_after: Sequence[ContactKey]
    set_aside: frozenset[Place]
    mends: Mapping[Place, Mend]


class PresentState:
    """Asks by the consumer's own client, never two calls at once. It makes none without a token."""

    def __init__(
        self, settings: Settings, index: Index, clock: Clock, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self._settings: Final = settings
        self._index: Final = index
        portal_id = settings.hubspot_portal_id or 0
        self._client: Final = HubSpotClient(
            http_client(settings.hubspot_api_base_url, settings.read_token, transport),
            FewCalls(clock),
            settings.hubspot_api_version,
            portal_id,
            _count,
        )

    async def close(self) -> None:
        await self._client.close()

    @property
    def can_ask(self) -> bool:
        return self._settings.hubspot_private_app_token is not None

    def link(self, contact_id: str) -> str:
        """Return the address of HubSpot's page of a contact; the simulator's, where that stands in for HubSpot."""
        base, portal = self._settings.hubspot_api_base_url, self._settings.hubspot_portal_id
        if not (httpx.URL(base).host.endswith(HUBSPOT) and portal):
            return f"{base}/"
        return f"https://app.hubspot.com/contacts/{portal}/record/0-1/{contact_id}"

    async def compare(self, key: ContactKey, acked: Mapping[Partition, int]) -> Comparison:
        """Return how a contact is at HubSpot. Raises CannotTell, and IndexAway."""
        if not self.can_ask:
            raise CannotTell("HUBSPOT_PRIVATE_APP_TOKEN is not set, so HubSpot is not asked")
        known = await asyncio.to_thread(self._known, key)
        selection = Selection(set_aside=known.set_aside, mends=known.mends, dead_letters=False)
        refolding = Refolding(selection, {})
        names = (await asyncio.to_thread(refolding.refold, key, *known.histories.values())).properties
        held = await self._held([*known.histories, *known.keys_after], names)
        return await asyncio.to_thread(_compared, key, known, refolding, held, acked)

    def _known(self, key: ContactKey) -> _Known:
        with Extract.of(self._index, self._settings.topics) as extract:
            keys = [key]
            for each in keys:
                keys += [before for before in extract.keys_before(each) if before not in keys]
                if len(keys) >= MOST_KEYS:
                    break
            letters = [letter for each in keys for letter in extract.letters(each)]
            set_aside = frozenset(place for letter in letters if not letter.in_effect for place in letter.places)
            # The oldest first, as they are folded.
            histories = {each: extract.stored(each) for each in reversed(keys)}
            mends = {place: letter.mend for letter in letters if letter.mend is not None for place in letter.places}
            return _Known(histories, extract.keys_after(key), set_aside, mends)

    async def _held(self, keys: Sequence[ContactKey], names: Mapping[str, str]) -> HeldContacts:
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S):
                with await self._client.slot():
                    held = await self._client.held_contacts(keys, names)
        except TimeoutError:
            raise CannotTell("HubSpot does not answer in time") from None
        if not isinstance(held, dict):
            raise CannotTell(f"HubSpot does not say: {held.cause if isinstance(held, RetryLater) else held.detail}")
        if missing := [each for each in keys if each not in held]:
            raise CannotTell(f"HubSpot's answer leaves {len(missing)} of {len(keys)} emails out: try again")
        return held


def _compared(
    key: ContactKey, known: _Known, refolding: Refolding, held: HeldContacts, acked: Mapping[Partition, int]
) -> Comparison:
    contact, own = held[key], known.histories[key]
    applied = applied_to(contact)
    finished = (each.sequence for each in own if each.offset < acked.get((each.topic, each.partition), 0))
    up_to = max(applied, *finished, 0)
    # What happened under an older key is this contact's, unless HubSpot still has another one of that key.
    earlier = [
        events
        for each, events in known.histories.items()
        if each != key and (held[each] is None or _same_contact(held[each], contact))
    ]
    refold = refolding.refold(key, *earlier, [each for each in own if each.sequence <= up_to])
    return Comparison(
        contact_id=contact.contact_id if contact else None,
        applied=applied,
        expected=refold.sequence,
        waiting=len({each.sequence for each in own if each.sequence > up_to}),
        set_aside=len(known.set_aside),
        unreadable=refold.unreadable,
        unmapped=len(refold.unmapped),
        properties=_properties(refold, contact),
        moved_to=next((each for each in known.keys_after if held[each] is not None), None),
    )


def _properties(refold: Refold, contact: HeldContact | None) -> list[Property]:
    found = []
    for name, expected in sorted(refold.properties.items()):
        held = contact.properties.get(name, "") if contact is not None else ""
        verdict: Verdict = "same" if same(name, expected, held) else "differs" if held else "empty"
        found.append(Property(name, expected, held, verdict))
    # The sequence says how far it is: it comes first.
    return sorted(found, key=lambda each: each.name != SEQUENCE)


def _same_contact(one: HeldContact | None, other: HeldContact | None) -> bool:
    return one is not None and other is not None and one.contact_id == other.contact_id


def _count(_call: CallMade) -> None:
    """Nobody counts these few."""
