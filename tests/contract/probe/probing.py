"""A probe of a simulated portal in this process, and what the portal holds beside it."""

import copy
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx
from pydantic import SecretStr

from hubspot_consumer.hubspot.client import HubSpotClient
from hubspot_consumer.hubspot.connection import http_client
from hubspot_consumer.hubspot.daily_quota import DailyQuota
from hubspot_consumer.hubspot.paths import ApiVersion
from hubspot_consumer.hubspot.rate_limiter import RateLimiter
from hubspot_consumer.probe.run import Report, run
from hubspot_consumer.probe.subject import Subject
from hubspot_consumer.settings import TimelineSetting
from runtime.clock import Clock
from sandbox.hubspot.app import simulator_app
from sandbox.hubspot.records.portal import Portal
from tests.clock import OwnedClock
from tests.samples import ID_PROPERTY, PORTAL_ID, TOKEN

MANY_CALLS = 10_000
PERSON = {"email": "ada@example.com", "firstname": "Ada", "phone": "1"}


class Killed(BaseException):
    """The process is killed: nothing of ours handles it."""


class Dying(httpx.AsyncBaseTransport):
    """Answers the first calls, and kills the process when the call of number *at* has taken effect, before its answer.

    To be killed before a call is the same to the portal as after the call before.
    """

    def __init__(self, portal: Portal, at: int | None = None) -> None:
        self._inner = httpx.ASGITransport(simulator_app(portal))
        self._at = at
        self.calls = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.calls += 1
        if self._at is not None and self.calls > self._at:
            raise Killed
        answer = await self._inner.handle_async_request(request)
        if self.calls == self._at:
            raise Killed
        return answer


@dataclass(frozen=True)
class Probed:
    """A report, and the number of calls that it took."""

    report: Report
    calls: int

    def named(self, told: str) -> set[str]:
        """Return the names of the questions that led to this."""
        return {question.name for question, found in self.report.found if found.told == told}

    def what(self, name: str) -> str:
        return next(found.what for question, found in self.report.found if question.name == name)


async def probe(
    transport: httpx.AsyncBaseTransport,
    *,
    version: ApiVersion = "2026-09",
    timeline: TimelineSetting = "auto",
    clock: Clock | None = None,
    id_property: str = ID_PROPERTY,
) -> Probed:
    """Probe the portal behind *transport*. Calls need no slots here, and no time passes between them."""
    clock, calls = clock or OwnedClock(), list[object]()
    async with http_client("http://hubspot", lambda: SecretStr(TOKEN), transport) as http:
        rate_limiter = RateLimiter(MANY_CALLS, 10, DailyQuota(MANY_CALLS, clock), clock)
        client = HubSpotClient(http, rate_limiter, version, PORTAL_ID, calls.append)
        subject = Subject(client.ask, client.paths, PORTAL_ID, timeline, clock, id_property)
        report = await run(subject, client.spent, lambda _done, _total: None)
    return Probed(report, len(calls))


def with_a_person(portal: Portal) -> None:
    """Add a contact of the portal's own people, with a note, which no probe may touch."""
    contact = portal.contacts.create(PERSON)
    note = portal.notes.create({"hs_timestamp": "2026-11-24T03:00:00.000Z", "hs_note_body": "called"}, [contact.id])
    portal.timeline.add_note(note)


def holdings(portal: Portal) -> Mapping[str, Any]:
    """Return all that people see in the portal: contacts, notes and the schema. Deleted records are not seen."""
    return {
        "contacts": [
            (contact.id, dict(contact.properties), len(contact.writes))
            for contact in portal.contacts.all()
            if not contact.archived
        ],
        "notes": [entry.id for entry in portal.timeline.entries() if not hasattr(entry, "uuid")],
        "orphans": len(portal.notes),
        "properties": json.dumps([one.definition for one in portal.schema.properties.values()], default=str),
        "archived": sorted(portal.schema.archived),
        "groups": copy.deepcopy(portal.schema.groups),
        "events": json.dumps([one.shown for one in portal.event_definitions.by_name.values()], default=str),
    }
