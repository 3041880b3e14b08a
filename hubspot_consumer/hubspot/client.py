"""The client: HubSpot's calls. Each takes a slot of the quota, and returns an outcome instead of raising."""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Any, Final

import httpx

from hubspot_consumer.hubspot.account import (
    MARKETING_CONTACTS,
    ContactLimit,
    PortalDetails,
    Usage,
    read_contact_limit,
    read_event_properties,
    read_portal,
    read_scopes,
    read_total,
    read_usage,
)
from hubspot_consumer.hubspot.connection import CallCounter, Calls, Token
from hubspot_consumer.hubspot.exports.calls import Exports
from hubspot_consumer.hubspot.moved_paths import MovedPaths
from hubspot_consumer.hubspot.outcomes import Delivered, Halt, Refusal, RetryLater
from hubspot_consumer.hubspot.paths import PATHS, TOKEN_INFO, ApiVersion, Paths
from hubspot_consumer.hubspot.rate_limiter import QuotaSlot, RateLimiter
from hubspot_consumer.hubspot.remote_contacts import (
    ListedContacts,
    as_known,
    read_listed_contacts,
    read_remote_contacts,
)
from hubspot_consumer.hubspot.requests import (
    HeldContacts,
    KnownContacts,
    Note,
    TimelineEntry,
    Upsert,
    identity,
    listing,
)
from hubspot_consumer.hubspot.results import (
    NotesOfContacts,
    Page,
    WriteAnswer,
    of_id_property,
    read_allowed,
    read_created,
    read_noted_events,
    read_notes,
    read_notes_of_contacts,
    read_page,
    read_send,
    read_written,
)
from hubspot_consumer.hubspot.schema import EMAIL, LAST_EVENT_ID, SEQUENCE, event_name
from hubspot_consumer.hubspot.status_codes import Answer
from runtime.logs import log
from schemas.contacts import ContactKey

# Properties that identify a contact, and the sequence of the event that was applied to it last.
_IDENTITY: Final = (EMAIL, "hs_additional_emails", SEQUENCE, "nerava_contact_key", LAST_EVENT_ID)

WaitForSlot = Callable[[], Awaitable[AbstractContextManager[object]]]


class HubSpotClient:
    """HubSpot, for one portal and one token. No method raises for an answer of HubSpot or a network error.

    Contacts are upserted by *id_property*: `email`, or a property of unique values, which holds the contact key.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - what identifies the portal, and how it is called
        self,
        http: httpx.AsyncClient,
        rate_limiter: RateLimiter,
        version: ApiVersion,
        portal_id: int,
        count: CallCounter = lambda _call: None,
        id_property: str = EMAIL,
    ) -> None:
        self._http = http
        self._rate_limiter = rate_limiter
        self.paths: Final[Paths] = PATHS[version]
        self._moved_paths: Final = MovedPaths(self.paths)
        self.exports: Final = Exports(http, self.paths.exports, self._call_in_slot)
        # By event name: the properties of the portal's definition, as far as they were listed.
        self._event_properties: Mapping[str, frozenset[str]] = {}
        self._portal_id: Final = portal_id
        self._call: Final = Calls(http, rate_limiter, count).make
        self.id_property: Final = id_property

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def slot(self) -> QuotaSlot:
        """Return when the quota allows one more call."""
        return await self._rate_limiter.slot()

    def spent(self) -> Halt | None:
        """Return a halt with the time of the next possible call if only the reserve of the daily quota is left."""
        daily = self._rate_limiter.daily
        if (until := daily.spent_until) is None:
            return None
        return Halt(
            "daily_quota_spent",
            f"{daily.remaining} of {daily.limit} calls are left, which are reserved for others",
            until,
        )

    async def create(self, inputs: Sequence[Upsert]) -> WriteAnswer[Upsert]:
        """Create up to 100 contacts, in a slot. A contact that exists is not written: its outcome is rejected or
        unclear.
        """
        body = {"inputs": [upsert.creation(self.id_property) for upsert in inputs]}
        path = f"{self.paths.contacts}/batch/create"
        answer = await self._call("create_contacts", path, body, sources=inputs)
        if isinstance(answer, httpx.Response) and answer.status_code in (404, 405):
            # The result is the same but slower: the caller looks each contact up before it writes it.
            log.warning("hubspot.create_path_not_found", path=path)
            return WriteAnswer(unclear=list(inputs))
        return read_written(answer, inputs)

    async def upsert(self, inputs: Sequence[Upsert]) -> WriteAnswer[Upsert]:
        """Create or update up to 100 contacts, in a slot."""
        body = {"inputs": [upsert.body(self.id_property) for upsert in inputs]}
        path = f"{self.paths.contacts}/batch/upsert"
        answer = read_written(await self._call("upsert", path, body, sources=inputs), inputs)
        return answer if self.id_property == EMAIL else of_id_property(answer, inputs, self.id_property)

    async def update(self, inputs: Sequence[Upsert]) -> WriteAnswer[Upsert]:
        """Update up to 100 contacts by HubSpot's ids, in a slot. No two inputs have the same."""
        body = {"inputs": [upsert.update() for upsert in inputs]}
        path = f"{self.paths.contacts}/batch/update"
        return read_written(await self._call("update", path, body, sources=inputs), inputs)

    async def move(self, contact_id: str, key: ContactKey) -> Refusal | None:
        """Change a contact's email, and the id property with it, in a slot."""
        move = Upsert(contact_id, key, identity(key, self.id_property), contact_id=contact_id)
        body = {"inputs": [move.update()]}
        answer = await self._call("move", f"{self.paths.contacts}/batch/update", body)
        outcome = read_written(answer, [move]).outcomes[contact_id]
        return None if isinstance(outcome, Delivered) else outcome

    async def known_contacts(
        self, keys: Sequence[ContactKey], slot: WaitForSlot | None = None
    ) -> KnownContacts | Refusal:
        """Return ids and sequences of up to 100 remote contacts, by contact key, as `remote_contacts` finds them."""
        found = await self.remote_contacts(keys, (), slot)
        return as_known(found, self.id_property) if isinstance(found, dict) else found

    async def remote_contacts(
        self, keys: Sequence[ContactKey], names: Collection[str], slot: WaitForSlot | None = None
    ) -> HeldContacts | Refusal:
        """Return up to 100 remote contacts with the properties *names*, by contact key, each call in its own *slot*.

        Contacts that are not found by the id property are read by email: they do not have the property yet.
        """
        found = await self._read(keys, names, self.id_property, slot or self.slot)
        if self.id_property == EMAIL or not isinstance(found, dict):
            return found
        others = [key for key in keys if key in found and found[key] is None]
        if not others:
            return found
        by_email = await self._read(others, names, EMAIL, slot or self.slot)
        if not isinstance(by_email, dict):
            return by_email
        # A contact that the second answer leaves out is in an unknown state.
        return by_email | {key: contact for key, contact in found.items() if contact is not None}

    async def _read(
        self, keys: Sequence[ContactKey], names: Collection[str], id_property: str, slot: WaitForSlot
    ) -> HeldContacts | Refusal:
        body = {
            "idProperty": id_property,
            "properties": sorted({*_IDENTITY, self.id_property, *names}),
            "inputs": [{"id": key} for key in keys],
        }
        with await slot():
            answer = await self._call("read", f"{self.paths.contacts}/batch/read", body)
        return read_remote_contacts(answer, keys, id_property)

    async def list_contacts(self, after: str) -> ListedContacts | Refusal:
        """Return the next 200 contacts with a contact key, in the order of HubSpot's ids, after the id *after*.

        HubSpot's search is some seconds behind its writes.
        """
        return read_listed_contacts(
            await self._call_in_slot("search", f"{self.paths.contacts}/search", listing(after, self.id_property))
        )

    async def send(self, entries: Sequence[TimelineEntry]) -> Refusal | None:
        """Send up to 500 timeline entries. The call needs no slot: HubSpot exempts it from the quota."""
        if (paused_s := self._rate_limiter.events_paused_s) > 0:
            return RetryLater("HubSpot's limit of custom events is spent", timedelta(seconds=paused_s))
        known = self._event_properties
        inputs = [entry.body(self._portal_id, known.get(event_name(entry.event_type), ())) for entry in entries]
        answer = await self._moved_paths.ask(
            self.paths.send_events, lambda path: self._call("send", path, {"inputs": inputs}, sources=entries)
        )
        return read_send(answer, len(entries))

    async def note(self, notes: Sequence[Note]) -> WriteAnswer[Note]:
        """Create up to 100 notes, in a slot. Unlike a custom event, a note that is sent twice appears twice."""
        body = {"inputs": [note.body() for note in notes]}
        path = f"{self.paths.notes}/batch/create"
        return read_notes(await self._call("note", path, body, sources=notes), notes)

    async def notes_of_contacts(self, contacts: Sequence[tuple[str, str | None]]) -> NotesOfContacts | Refusal:
        """Return the ids of the notes of up to 1,000 contacts, each with its id and a paging cursor, or None.

        The call needs no slot: HubSpot counts it towards the day alone.
        """
        inputs = [{"id": contact_id} | ({"after": after} if after else {}) for contact_id, after in contacts]
        answer = await self._call("notes_of_contacts", self.paths.notes_of_contacts, {"inputs": inputs})
        self._rate_limiter.daily.called()
        return read_notes_of_contacts(answer, len(contacts))

    async def noted_events(self, note_ids: Sequence[str]) -> set[str] | Refusal:
        """Return the ids of the events that up to 100 notes describe, in a slot."""
        body = {"properties": ["hs_note_body"], "inputs": [{"id": note_id} for note_id in note_ids]}
        answer = await self._call("read_notes", f"{self.paths.notes}/batch/read", body)
        return read_noted_events(answer, len(note_ids))

    async def page(self, path: str, after: str | None, **parameters: str) -> Page | Refusal:
        """Return the page of the list at *path* that begins at the cursor *after*."""
        asked = {"limit": "100", **parameters} | ({"after": after} if after else {})
        return read_page(await self._call_in_slot("list", path, parameters=asked))

    async def define(self, path: str, definition: Mapping[str, Any], method: str = "POST") -> Refusal | None:
        """Create a definition, or change one with PATCH. Return None if the portal has it afterwards."""
        return read_created(await self._call_in_slot("create", path, definition, method=method))

    async def portal(self) -> PortalDetails | Refusal:
        """Return the token's portal, as far as HubSpot's answer names it. Its time zone becomes that of the daily
        quota.
        """
        details = read_portal(await self._call_in_slot("account", self.paths.account))
        if isinstance(details, PortalDetails) and details.zone is not None:
            self._rate_limiter.daily.keep_time_of(details.zone)
        return details

    async def scopes(self) -> frozenset[str] | Refusal:
        """Return the token's scopes. HubSpot lists them for private apps; for Service Keys that is not certain."""
        token = self._http.auth.secret if isinstance(self._http.auth, Token) else ""
        return read_scopes(await self._call_in_slot("token_info", TOKEN_INFO, {"tokenKey": token}))

    async def usage(self) -> Usage | Refusal:
        """Return how many of the day's calls the account's private apps have made."""
        return read_usage(await self._call_in_slot("usage", self.paths.usage))

    async def contact_limit(self) -> ContactLimit | Refusal:
        """Return how many contacts the account may have, and has."""
        return read_contact_limit(await self._call_in_slot("limits", self.paths.record_limits))

    async def marketing_contacts(self) -> int | Refusal:
        """Return how many of the contacts that we have written are marketing contacts."""
        return read_total(await self._call_in_slot("search", f"{self.paths.contacts}/search", MARKETING_CONTACTS))

    async def takes_custom_events(self) -> bool | Refusal:
        """Return whether the portal's tier and the token's scopes allow custom events.

        `send` leaves out amounts as people read them where the definitions in this answer lack them.
        """
        asked = {"includeProperties": "true", "limit": "100"}
        answer = await self._call_in_slot("event_definitions", self.paths.event_definitions, parameters=asked)
        self._event_properties = read_event_properties(answer) or self._event_properties
        return read_allowed(answer)

    async def takes_notes(self) -> bool | Refusal:
        """Return whether the token's scopes allow notes."""
        body = {"properties": [], "inputs": [{"id": "0"}]}
        return read_allowed(await self._call_in_slot("read_notes", f"{self.paths.notes}/batch/read", body))

    async def ask(
        self, path: str, body: Mapping[str, Any] | None = None, parameters: Mapping[str, str] | None = None
    ) -> Answer:
        """Return HubSpot's whole answer to a call, for the probe, which asks what answers say."""
        return await self._call_in_slot("probe", path, body, parameters)

    async def _call_in_slot(
        self,
        kind: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        parameters: Mapping[str, str] | None = None,
        *,
        method: str | None = None,
    ) -> Answer:
        async def call(path: str) -> Answer:
            with await self.slot():
                return await self._call(kind, path, body, parameters=parameters, method=method)

        return await self._moved_paths.ask(path, call)
