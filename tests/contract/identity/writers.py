"""Contact writers of a portal, whose clients identify contacts by email or by a property of their own."""

from collections.abc import Awaitable, Callable

import httpx
from pydantic import SecretStr

from hubspot_consumer.delivery.contact_writer import Again, ContactWriter
from hubspot_consumer.gates.circuit_breaker import CircuitBreaker
from hubspot_consumer.gates.unwritable_properties import UnwritableProperties
from hubspot_consumer.hubspot.client import HubSpotClient
from hubspot_consumer.hubspot.connection import http_client
from hubspot_consumer.hubspot.daily_quota import DailyQuota
from hubspot_consumer.hubspot.outcomes import Outcome
from hubspot_consumer.hubspot.rate_limiter import RateLimiter
from hubspot_consumer.hubspot.requests import Upsert
from hubspot_consumer.mapping import contact_properties
from runtime.clock import SystemClock
from sandbox.hubspot.app import simulator_app
from sandbox.hubspot.records.contacts import Contact
from sandbox.hubspot.records.portal import Portal
from sandbox.provisioned import provision
from schemas.contacts import ContactKey
from tests.clock import OwnedClock
from tests.samples import ID_PROPERTY, PORTAL_ID, TOKEN, read

MANY = 1_000_000
ADA, GRACE, LENA = (ContactKey(f"{name}@example.com") for name in ("ada", "grace", "lena"))
Before = Callable[[httpx.Request], Awaitable[None]]


class Way(httpx.AsyncBaseTransport):
    """Leads to the simulator; `before` is awaited before each call that it answers."""

    def __init__(self, portal: Portal) -> None:
        self._simulator = httpx.ASGITransport(simulator_app(portal))
        self.before: Before | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self.before is not None:
            await self.before(request)
        return await self._simulator.handle_async_request(request)


class Writer:
    """A contact writer, and its client."""

    def __init__(self, portal: Portal, id_property: str = ID_PROPERTY) -> None:
        self.way, clock = Way(portal), SystemClock()
        self.client = HubSpotClient(
            http_client("http://hubspot", lambda: SecretStr(TOKEN), self.way),
            RateLimiter(MANY, 10, DailyQuota(MANY, clock), clock),
            "2026-03",
            PORTAL_ID,
            id_property=id_property,
        )
        self.breaker = CircuitBreaker(OwnedClock())
        self._writer = ContactWriter(self.client, UnwritableProperties(), self.breaker)

    async def write(self, *inputs: Upsert) -> dict[ContactKey, Outcome | Again]:
        written = self._writer.upsert(inputs, await self.client.slot(), lambda _: None)
        return {one.contact_key: outcome async for one, outcome in written}


async def portal_with(id_property: str = ID_PROPERTY) -> Portal:
    """Return a portal with our properties and *id_property*."""
    portal = Portal(PORTAL_ID, [TOKEN], quota=MANY, daily_limit=MANY)
    await provision(portal, id_property)
    return portal


def upsert(key: ContactKey, event_type: str = "nova_earned", sequence: int = 1) -> Upsert:
    return Upsert(f"{key}:{sequence}", key, contact_properties(read(event_type, sequence, key)))


def contact_of(portal: Portal, email: str) -> Contact:
    """Return the only contact with that email."""
    [contact] = [one for one in portal.contacts.all() if email in one.emails()]
    return contact
