"""The client: HubSpot's calls. Each takes a slot of the quota, and returns an outcome instead of raising."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import timedelta
from itertools import chain
from typing import Any, Final, NamedTuple

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
from hubspot_consumer.hubspot.connection import AnswerTooLarge, Token, call_span, request
from hubspot_consumer.hubspot.events_path import EventsPath
from hubspot_consumer.hubspot.exports.calls import Exports
from hubspot_consumer.hubspot.outcomes import Delivered, Halt, Refusal, RetryLater
from hubspot_consumer.hubspot.paths import PATHS, TOKEN_INFO, ApiVersion, Paths
from hubspot_consumer.hubspot.rate_limiter import QuotaSlot, RateLimiter
from hubspot_consumer.hubspot.requests import HeldContacts, KnownContacts, Note, TimelineEntry, Upsert
from hubspot_consumer.hubspot.results import (
    NotesOfContacts,
    Page,
    WriteAnswer,
    read_allowed,
    read_created,
    read_known_contacts,
    read_noted_events,
    read_notes,
    read_notes_of_contacts,
    read_page,
    read_remote_contacts,
    read_send,
    read_written,
)
from hubspot_consumer.hubspot.schema import LAST_EVENT_ID, SEQUENCE, event_name
from hubspot_consumer.hubspot.status_codes import Answer, correlation_id, policy_of, quota_spent_for
from runtime.logs import log
from runtime.tracing import failed
from schemas.contacts import ContactKey

# Properties that identify a contact, and the sequence of the event that was applied to it last.
_IDENTITY: Final = ("email", "hs_additional_emails", SEQUENCE, "nerava_contact_key", LAST_EVENT_ID)
# Kinds of calls whose answers may be larger.
_LISTS: Final = ("list", "event_definitions")


class CallMade(NamedTuple):
    """A call: its kind, its HTTP status or the name of its exception, the number of its inputs, and HubSpot's response
    time.
    """

    kind: str
    status: str
    inputs: int
    seconds: float | None


CallCounter = Callable[[CallMade], None]


class HubSpotClient:
    """HubSpot, for one portal and one token. No method raises for an answer of HubSpot or a network error."""

    def __init__(
        self,
        http: httpx.AsyncClient,
        rate_limiter: RateLimiter,
        version: ApiVersion,
        portal_id: int,
        count: CallCounter = lambda _call: None,
    ) -> None:
        self._http = http
        self._rate_limiter = rate_limiter
        self.paths: Final[Paths] = PATHS[version]
        self._events_path: Final = EventsPath(self.paths)
        self.exports: Final = Exports(http, self.paths.exports, self._call_in_slot)
        # By event name: the properties of the portal's definition, as far as they were listed.
        self._event_properties: Mapping[str, frozenset[str]] = {}
        self._portal_id: Final = portal_id
        self._count = count

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
        body = {"inputs": [upsert.creation() for upsert in inputs]}
        path = f"{self.paths.contacts}/batch/create"
        answer = await self._call("create_contacts", path, body, sources=inputs)
        if isinstance(answer, httpx.Response) and answer.status_code in (404, 405):
            # The result is the same but slower: the caller looks each contact up before it writes it.
            log.warning("hubspot.create_path_not_found", path=path)
            return WriteAnswer(unclear=list(inputs))
        return read_written(answer, inputs)

    async def upsert(self, inputs: Sequence[Upsert]) -> WriteAnswer[Upsert]:
        """Create or update up to 100 contacts, in a slot."""
        body = {"inputs": [upsert.body() for upsert in inputs]}
        path = f"{self.paths.contacts}/batch/upsert"
        return read_written(await self._call("upsert", path, body, sources=inputs), inputs)

    async def move(self, contact_id: str, key: ContactKey) -> Refusal | None:
        """Change a contact's email, in a slot."""
        move = Upsert(contact_id, key, {"email": key})
        body = {"inputs": [{"id": contact_id, "properties": move.properties, "objectWriteTraceId": contact_id}]}
        answer = await self._call("move", f"{self.paths.contacts}/batch/update", body)
        outcome = read_written(answer, [move]).outcomes[contact_id]
        return None if isinstance(outcome, Delivered) else outcome

    async def known_contacts(self, keys: Sequence[ContactKey]) -> KnownContacts | Refusal:
        """Return ids and sequences of up to 100 remote contacts, by contact key, in a slot."""
        return read_known_contacts(await self._read(keys, ()), keys)

    async def remote_contacts(self, keys: Sequence[ContactKey], names: Collection[str]) -> HeldContacts | Refusal:
        """Return up to 100 remote contacts with the properties *names*, by contact key, in a slot."""
        return read_remote_contacts(await self._read(keys, names), keys)

    async def _read(self, keys: Sequence[ContactKey], names: Collection[str]) -> Answer:
        body = {
            "idProperty": "email",
            "properties": sorted({*_IDENTITY, *names}),
            "inputs": [{"id": key} for key in keys],
        }
        return await self._call("read", f"{self.paths.contacts}/batch/read", body)

    async def send(self, entries: Sequence[TimelineEntry]) -> Refusal | None:
        """Send up to 500 timeline entries. The call needs no slot: HubSpot exempts it from the quota."""
        if (paused_s := self._rate_limiter.events_paused_s) > 0:
            return RetryLater("HubSpot's limit of custom events is spent", timedelta(seconds=paused_s))
        known = self._event_properties
        inputs = [entry.body(self._portal_id, known.get(event_name(entry.event_type), ())) for entry in entries]
        answer = await self._events_path.ask(
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

        return await self._events_path.ask(path, call)

    async def _call(  # noqa: PLR0913 - the parts of a call, by name
        self,
        kind: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        parameters: Mapping[str, str] | None = None,
        method: str | None = None,
        sources: Iterable[Upsert | TimelineEntry | Note] = (),
    ) -> Answer:
        """Return the answer to a POST of *body*, or to a GET without one, unless *method* names another. The span names
        the records of *sources*.
        """
        method = method or ("GET" if body is None else "POST")
        records = chain.from_iterable(one.records for one in sources)
        inputs = len((body or {}).get("inputs", ()))
        try:
            with call_span(self._http.base_url, method, path, records) as span:
                response = await request(self._http, method, path, body, parameters, of_a_list=kind in _LISTS)
                span.set_attribute("http.response.status_code", response.status_code)
                if not response.is_success:
                    failed(span, str(response.status_code))
                    log.info(
                        "hubspot.refused",
                        kind=kind,
                        status=response.status_code,
                        policy=policy_of(response),
                        correlation_id=correlation_id(response),
                    )
        # httpx raises InvalidURL, which is no RequestError, for a cursor of HubSpot's that is too long for an address.
        except (httpx.RequestError, httpx.InvalidURL) as error:
            # After a timeout or a reset it is unknown whether a write was applied. All our writes may be repeated.
            self._count(CallMade(kind, type(error).__name__, inputs, None))
            log.info("hubspot.not_answered", kind=kind, error=type(error).__name__)
            too_large = isinstance(error, AnswerTooLarge)
            return RetryLater(f"no answer: {type(error).__name__}", outage=True, too_large=too_large)
        self._count(CallMade(kind, str(response.status_code), inputs, response.elapsed.total_seconds()))
        self._rate_limiter.observe(response.headers)
        if (wait := quota_spent_for(response)) is not None:
            pause = self._rate_limiter.pause_events if kind == "send" else self._rate_limiter.pause
            pause(wait.total_seconds())
        return response
