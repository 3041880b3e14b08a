"""HubSpot in a simulation: the simulator in process, behind a network that takes its time."""

import asyncio
import json
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from random import Random
from typing import Any, Final

import httpx

from hubspot_consumer.hubspot.requests import event_of_note
from sandbox.day.ledger import Accepted
from sandbox.hubspot.http.gateway import Gateway
from sandbox.hubspot.records.contacts import Contact
from sandbox.hubspot.records.portal import PORTAL_ID, TOKEN, Portal
from sandbox.hubspot.records.timeline import Entry, Occurrence, Timeline
from sandbox.provisioned import provision
from tests.recorded import Recorded
from tests.simulation.loop import CURRENT, Process, SimulatedLoop
from tests.simulation.network import Network, NoAnswer, NotReached, Reset
from tests.simulation.patching import START
from tests.simulation.variant import ERASED, Variant

# Seconds that HubSpot takes for a call, at least and at most.
FASTEST_S: Final = 0.02
SLOWEST_S: Final = 1.2
# The recorded answers to an upsert that meets another contact's creation.
CONFLICTS: Final = (
    "rejected/conflict-already-has-value",
    "rejected/conflicting-unique-value",
    "rejected/create-conflict",
    "rejected/object-already-exists-409",
    "rejected/object-already-exists-of-one-input",
    "rejected/unique-value-conflict",
    "unclear/create-conflict-without-trace-ids",
)


class PortalTime:
    """The portal's clock: the time of the simulation that runs now, of which a copied portal has the same."""

    def __init__(self) -> None:
        self.loop: SimulatedLoop | None = None

    def monotonic(self) -> float:
        return self.loop.time() if self.loop else 0.0

    def now(self) -> datetime:
        return START + timedelta(seconds=self.monotonic())

    def __deepcopy__(self, _memo: object) -> "PortalTime":
        return self


_TIME: Final = PortalTime()


def new_portal(loop: SimulatedLoop, variant: Variant) -> Portal:
    """Return a provisioned portal that lives in the time of *loop*."""
    _TIME.loop = None
    pristine = _provisioned(variant.id_property)
    _TIME.loop = loop
    portal = deepcopy(pristine)
    portal.change_settings(**variant.portal)
    if variant.erased_contact:
        portal.contacts.suppress(*ERASED)
    return portal


@lru_cache(2)
def _provisioned(id_property: str) -> Portal:
    portal = Portal(PORTAL_ID, [TOKEN], clock=_TIME)
    asyncio.run(provision(portal, id_property))
    return portal


class HubSpot:
    """The portal, and the ways of all processes to it."""

    def __init__(self, loop: SimulatedLoop, network: Network, chance: Random, variant: Variant) -> None:
        self._loop: Final = loop
        self._network: Final = network
        self._chance: Final = chance
        self.portal: Final = new_portal(loop, variant)
        self._gateway: Final = Gateway(self.portal)
        # Called with the process, the path and the body of each call; what it returns is called at the call's end.
        self.sent: Callable[[Process, str, bytes], Callable[[], None]] = lambda _process, _path, _body: lambda: None
        self._event_ids: Final[set[str]] = set()
        self._entries_read = 0
        self._instead: Final[list[Instead]] = []
        # The emails that contacts were to get by calls that got a recorded answer.
        self.emails_not_given: Final[set[str]] = set()

    def answer_with(self, recorded: Recorded, *, calls: int, applied: bool) -> "Instead":
        """Answer the next *calls* calls of the kind of *recorded* with it; they take effect if *applied*."""
        instead = Instead(recorded, calls, applied)
        self._instead.append(instead)
        return instead

    async def answer(self, request: httpx.Request) -> httpx.Response:
        """Send a request as the present process; return the answer. Raises httpx.TransportError."""
        body = await request.aread()
        ended = self.sent(CURRENT.get(), request.url.path, body)
        within_s = request.extensions.get("timeout", {}).get("read") or 20.0
        try:
            status, headers, content = await self._network.ask(
                "hubspot",
                lambda: self._loop.start(self._loop.world, self._served(request, body, ended)),
                within_s=within_s,
            )
        except NotReached:
            raise httpx.ConnectError("connection refused", request=request) from None
        except NoAnswer:
            raise httpx.ReadTimeout("no answer", request=request) from None
        except Reset:
            raise httpx.ReadError("connection reset", request=request) from None
        finally:
            ended()
        return httpx.Response(status, headers=headers, stream=httpx.ByteStream(content), request=request)

    async def _served(self, request: httpx.Request, body: bytes, ended: Callable[[], None]) -> tuple[int, Any, bytes]:
        before_s = self._chance.uniform(FASTEST_S, SLOWEST_S) / 2
        await asyncio.sleep(before_s)
        sent: list[dict[str, Any]] = []
        url = request.url

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {
            "type": "http",
            "method": request.method,
            "path": url.path,
            "raw_path": url.raw_path.split(b"?")[0],
            "query_string": url.query,
            "headers": [(name.lower(), value) for name, value in request.headers.raw],
        }
        method, path = request.method, url.path
        instead = next((one for one in self._instead if one.calls and one.fits(method, path)), None)
        if instead is not None:
            instead.calls -= 1
            self.emails_not_given.update(_emails_given(path, body))
        if instead is None or instead.applied:
            await self._gateway(scope, receive, send)
        await asyncio.sleep(before_s)
        ended()
        if instead is not None:
            response = instead.recorded.response()
            return response.status_code, response.headers.raw, response.content
        return sent[0]["status"], sent[0]["headers"], sent[1].get("body", b"")

    @property
    def rejects(self) -> bool:
        """Whether HubSpot has refused an input for good. A conflict, or a refusal of several inputs, is tried again."""
        names = [one.recorded.name for one in self._instead]
        return any(name.startswith(("rejected/", "unclear/")) and name not in CONFLICTS for name in names)

    def lose_timeline(self) -> None:
        """Lose all timeline entries, as when the definitions of their events are deleted."""
        self.event_ids()
        self.portal.timeline, self._entries_read = Timeline(), 0

    def event_ids(self) -> set[str]:
        """Return the event ids of all timeline entries, lost ones included, each of which is read once."""
        entries = self.portal.timeline.entries()
        self._event_ids.update(_event_of(entry)[0] for entry in entries[self._entries_read :])
        self._entries_read = len(entries)
        return self._event_ids

    def accepted(self) -> Accepted:
        """Return the timeline entries and contacts that the portal has.

        An entry without a certain answer is left as a note too where the portal refuses custom events from then on:
        nothing shows whether HubSpot has the custom event. Of such a pair, the first one counts.
        """
        entries = []
        forms: dict[str, type] = {}
        for entry in self.portal.timeline.entries():
            event_id, at = _event_of(entry)
            if forms.setdefault(event_id, type(entry)) is type(entry):
                entries.append((event_id, datetime.fromisoformat(at)))
        contacts = {
            one.email: {"properties": one.properties, "writes": _writes_of_its_email(one)}
            for one in self.portal.contacts.all()
            if not one.archived
        }
        return Accepted(entries, contacts)


def _writes_of_its_email(contact: Contact) -> list[dict[str, Any]]:
    """Return a contact's writes since it has its present email: sequences begin anew with another."""
    writes: list[dict[str, Any]] = []
    email = ""
    for write in contact.writes:
        if (now := write.properties.get("email", email)) != email:
            email = now
            writes.clear()
        writes.append({"properties": write.properties})
    return writes


def _emails_given(path: str, body: bytes) -> Iterator[str]:
    """Yield the emails that a call gives to contacts that exist."""
    if path.endswith("/contacts/batch/update"):
        for one in json.loads(body)["inputs"]:
            if email := one["properties"].get("email"):
                yield email


def _event_of(entry: Entry) -> tuple[str, str]:
    """Return the id of an entry's event, and when HubSpot accepted it."""
    if isinstance(entry, Occurrence):
        return entry.uuid, entry.accepted_at
    return event_of_note(entry.properties["hs_note_body"]) or "", entry.created_at


@dataclass
class Instead:
    """A recorded answer in the place of the next calls of its kind, which are *applied* all the same or not."""

    recorded: Recorded
    calls: int
    applied: bool

    def fits(self, method: str, path: str) -> bool:
        named_method, url = self.recorded.method_and_url
        # The record's version of the API may be another one.
        return method == named_method and _operation(path) == _operation(url.split("?")[0])


def _operation(path: str) -> tuple[bool, list[str]]:
    """Return whether a path is about associations, its last part, and for a batch the kind of its objects."""
    parts = path.split("/")
    return "associations" in parts, parts[-3:] if parts[-2] == "batch" else parts[-1:]


class Transport(httpx.AsyncBaseTransport):
    """The way of one process to HubSpot."""

    def __init__(self, hubspot: HubSpot) -> None:
        self._hubspot: Final = hubspot

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return await self._hubspot.answer(request)
