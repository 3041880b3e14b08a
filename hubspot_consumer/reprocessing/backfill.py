"""The backfill: contacts that HubSpot has by their emails get the contact key as the value of HUBSPOT_ID_PROPERTY.

HubSpot's search lists all contacts with a contact key, also those whose events Kafka has deleted. A contact is held
while it is read and written, because a worker could give it another email in between.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Final, assert_never

from aiokafka.errors import KafkaError

from hubspot_consumer.delivery.batches import calls_of
from hubspot_consumer.delivery.contact_writer import MOST_CONFLICTS, Again
from hubspot_consumer.holds.hold import Hold
from hubspot_consumer.hubspot.bodies import number_in
from hubspot_consumer.hubspot.outcomes import Delivered, Halt, Outcome, Rejected, RetryLater
from hubspot_consumer.hubspot.remote_contacts import lacks_id
from hubspot_consumer.hubspot.requests import MOST_UPSERTS, KnownContact, RemoteContact, Upsert
from hubspot_consumer.hubspot.schema import EMAIL
from hubspot_consumer.reprocessing.hubspot_reader import CannotRead, HubSpotReader
from hubspot_consumer.reprocessing.report import Report
from hubspot_consumer.reprocessing.run import Run
from hubspot_consumer.reprocessing.session import HubSpotAccess
from hubspot_consumer.reprocessing.writing import CALL_TAKES_S
from runtime.clock import Clock
from schemas.contacts import ContactKey, contact_key

# HubSpot takes five searches a second for the account, and counts them apart from other calls.
SEARCH_EVERY_S: Final = 0.25


@dataclass(frozen=True)
class Page:
    """A page of HubSpot's list. `lacking` are its contacts without the value that they should have, with HubSpot's ids.

    `up_to` is HubSpot's id of the last of its `contacts`, and `left` the number of all contacts from this page on.
    """

    lacking: Mapping[ContactKey, str]
    up_to: str
    contacts: int
    left: int


class Backfill:
    """Writes the contacts of HubSpot's list, page by page, and records the progress in the journal of *run*."""

    def __init__(self, at: HubSpotAccess, run: Run, report: Report, clock: Clock) -> None:
        self._at = at
        self._reader = HubSpotReader(at.client, at.retries)
        self._store = run.store
        self._report = report
        self._clock = clock
        self.listed: int = run.store.fact("listed", 0)
        self.lacking: int = run.store.fact("lacking", 0)

    async def run(self, progress: Callable[[int, int], object], *, apply: bool) -> None:
        """Write every contact that lacks the value if *apply*; count them in any case.

        *progress* is called with the number of contacts so far, and of all. Raises CannotRead and TooManyRefused.
        """
        async for page in self._pages():
            if apply:
                await self._write_page(page.lacking)
            self.listed += page.contacts
            self.lacking += len(page.lacking)
            report = self._report.model_dump(mode="json")
            self._store.keep(up_to=page.up_to, listed=self.listed, lacking=self.lacking, report=report)
            progress(self.listed, self.listed + page.left - page.contacts)

    async def _pages(self) -> AsyncIterator[Page]:
        up_to: str = self._store.fact("up_to", "0")
        while True:
            found = await self._reader.until_answered(partial(self._at.client.list_contacts, up_to))
            if not found.contacts:
                return
            if not _goes_on(up_to, found.contacts):
                # The next page would be another one, and leave contacts out.
                raise CannotRead("HubSpot's search does not list contacts in the order of their ids")
            up_to = found.contacts[-1].contact_id
            yield Page(self._lacking(found.contacts), up_to, len(found.contacts), found.total)
            await self._clock.sleep(SEARCH_EVERY_S)

    def _lacking(self, contacts: list[RemoteContact]) -> dict[ContactKey, str]:
        name = self._at.client.id_property
        return {
            key: contact.contact_id
            for contact in contacts
            # A person may have changed the email of a contact: it is still found by the key that wrote it.
            if contact.properties.get(name) != contact.properties.get("nerava_contact_key")
            if (key := _key_of(contact)) is not None and lacks_id(contact, key, name)
        }

    async def _write_page(self, lacking: Mapping[ContactKey, str]) -> None:
        allowed = [key for key in lacking if not self._at.suppressions.contains(key)]
        self._report.contacts_suppressed += len(lacking) - len(allowed)
        for together in calls_of(allowed, MOST_UPSERTS):
            await self._write({key: lacking[key] for key in together})

    async def _write(self, ids: Mapping[ContactKey, str]) -> None:
        left = list(ids)

        async def attempt() -> RetryLater | Halt | None:
            nonlocal left
            if (spent := self._at.client.spent()) is not None:
                self._at.breaker.trip(spent)
                return spent
            refusal: RetryLater | Halt | None = None
            while left and refusal is None:
                try:
                    async with self._at.holds.hold(left) as hold:
                        left, refusal = await self._attempt({key: ids[key] for key in left}, hold)
                except (KafkaError, OSError) as error:
                    refusal = RetryLater(f"Kafka does not answer: {type(error).__name__}")
            return refusal

        await self._at.retries.until_done(attempt)

    async def _attempt(
        self, ids: Mapping[ContactKey, str], hold: Hold
    ) -> tuple[list[ContactKey], RetryLater | Halt | None]:
        """Return the contacts to write again, and the reason if that has to wait."""

        def guard(_upsert: Upsert) -> RetryLater | None:
            return RetryLater("the hold would end before the call") if hold.time_left_s < CALL_TAKES_S else None

        known = await self._at.client.known_contacts(list(ids))
        if isinstance(known, Rejected):
            raise CannotRead(f"HubSpot does not say what it holds: {known.detail}")
        if not isinstance(known, dict):
            self._at.breaker.record(known)
            return list(ids), known
        # A contact that HubSpot's answer leaves out is read again.
        again = [key for key in ids if key not in known]
        refusal: RetryLater | Halt | None = RetryLater("HubSpot's answer leaves contacts out") if again else None
        found = {key: contact for key in ids if (contact := known.get(key)) is not None}
        updates = [_update(key, contact) for key, contact in found.items() if contact.identity]
        for key, contact in found.items():
            if not contact.identity and contact.contact_id != ids[key]:
                self._report.refuse(key, Rejected("rejected_by_hubspot", _held_by(contact)))
        if updates:
            async for one, outcome in self._at.contacts.update(updates, await self._at.client.slot(), guard):
                if self._again(one, outcome):
                    again.append(one.contact_key)
                    refusal = outcome if isinstance(outcome, RetryLater | Halt) else refusal
        return again, refusal

    def _again(self, one: Upsert, outcome: Outcome | Again) -> bool:
        """Process a contact's outcome; return whether the contact is to be written again."""
        match outcome:
            case Delivered():
                self._report.contacts_written += 1
                return False
            case Rejected():
                self._report.refuse(one.contact_key, outcome)
                return False
            case Again() | RetryLater() | Halt():
                return True
            case _:
                assert_never(outcome)


def _goes_on(up_to: str, contacts: list[RemoteContact]) -> bool:
    """Return whether HubSpot's ids rise from contact to contact, all above *up_to*."""
    ids = [number_in(each) for each in (up_to, *(contact.contact_id for contact in contacts))]
    return all(one is not None and other is not None and one < other for one, other in pairwise(ids))


def _update(key: ContactKey, contact: KnownContact) -> Upsert:
    # A conflict is final: the next attempt would find the contact that has the value.
    return Upsert(key, key, contact.identity, attempts=MOST_CONFLICTS, contact_id=contact.contact_id)


def _held_by(contact: KnownContact) -> str:
    return f"the contact {contact.contact_id} has the value already: merge the two in HubSpot"


def _key_of(contact: RemoteContact) -> ContactKey | None:
    try:
        return contact_key(contact.properties.get(EMAIL, ""))
    except ValueError:
        return None
