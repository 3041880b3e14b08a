"""Our client and HubSpot's newer SDK: each request of ours is what the SDK makes of the same arguments."""

import json
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qsl

import httpx
import pytest
from pydantic import SecretStr

from hubspot_consumer.hubspot.client import HubSpotClient
from hubspot_consumer.hubspot.connection import http_client
from hubspot_consumer.hubspot.daily_quota import DailyQuota
from hubspot_consumer.hubspot.rate_limiter import RateLimiter
from hubspot_consumer.hubspot.requests import Note, TimelineEntry, Upsert
from hubspot_consumer.provisioning.provision import Provision
from runtime.clock import SystemClock
from sandbox.hubspot.app import simulator_app
from sandbox.hubspot.records.portal import Portal
from schemas.contacts import ContactKey
from tests.contract.sdk.tour import SDK_VERSION
from tests.samples import ID_PROPERTY, PORTAL_ID, TOKEN

hubspot_sdk = pytest.importorskip("hubspot_sdk", reason="HubSpot's newer SDK is in the dependency group `dev`")

MANY: Final = 10_000
ADA: Final = ContactKey("ada@example.com")
# The id of the portal's first export.
EXPORT: Final = "70001"
# What the SDK asks for, because the specification does, and live callers leave out.
LEFT_OUT: Final[dict[str, list[str]]] = {"properties_with_history": []}
_CAPITAL: Final = re.compile(r"(?<=[a-z])([A-Z])")


class Sent(NamedTuple):
    method: str
    path: str
    query: Mapping[str, str]
    body: Any


class Recorder(httpx.AsyncBaseTransport):
    """Remembers what was sent, and passes it on, or answers it with an empty object."""

    def __init__(self, inner: httpx.AsyncBaseTransport | None = None) -> None:
        self.sent: list[Sent] = []
        self._inner = inner

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content) if request.content else None
        query = dict(parse_qsl(request.url.query.decode()))
        self.sent.append(Sent(request.method, request.url.path, query, body))
        return await self._inner.handle_async_request(request) if self._inner else httpx.Response(200, json={})


async def our_requests() -> list[Sent]:
    """Return a request of each kind that our client makes."""
    portal = Portal(PORTAL_ID, [TOKEN])
    portal.change_settings(quota=MANY)
    recorder = Recorder(httpx.ASGITransport(simulator_app(portal)))
    async with http_client("http://hubspot", lambda: SecretStr(TOKEN), recorder) as http:
        clock = SystemClock()
        limiter = RateLimiter(MANY, 10, DailyQuota(MANY, clock), clock)
        client = HubSpotClient(http, limiter, SDK_VERSION, PORTAL_ID, lambda _call: None)
        provision = Provision(client)
        for missing in (await provision.plan()).missing:
            # The SDK's version takes no cards.
            if missing.method == "POST":
                await provision.create(missing)
        entry = TimelineEntry("u1", "nova_earned", ADA, "151", datetime(2026, 11, 24, tzinfo=UTC), {})
        await client.upsert([Upsert("t1", ADA, {"firstname": "Ada"})])
        await client.create([Upsert("t1", ContactKey("grace@example.com"), {"firstname": "Grace"})])
        await client.move("151", ContactKey("mary@example.com"))
        await client.known_contacts([ADA])
        own = HubSpotClient(http, limiter, SDK_VERSION, PORTAL_ID, id_property=ID_PROPERTY)
        for missing in (await Provision(own).plan()).missing:
            if missing.method == "POST":
                await Provision(own).create(missing)
        await own.upsert([Upsert("t1", ContactKey("lena@example.com"), {"firstname": "Lena"})])
        await own.update([Upsert("t1", ADA, {ID_PROPERTY: ADA}, contact_id="151")])
        await own.known_contacts([ADA])
        await own.list_contacts("0")
        await client.note([Note("t1", entry)])
        await client.notes_of_contacts([("151", None), ("152", "9001")])
        await client.noted_events(["9001"])
        await client.send([entry])
        await client.portal()
        await client.usage()
        await client.contact_limit()
        await client.marketing_contacts()
        export = await client.exports.begin(["email"])
        assert export == EXPORT
        await client.exports.link(EXPORT)
    return recorder.sent


def calls_of(sdk: Any) -> Mapping[str, Callable[..., Any]]:
    """Return the SDK's function for each request of ours."""
    contacts, notes, properties = sdk.crm.objects.contacts, sdk.crm.objects.notes, sdk.crm.properties
    definitions, associations = sdk.events.definitions, sdk.crm.associations
    return {
        "POST /crm/objects/2026-03/contacts/batch/upsert": contacts.batch.upsert,
        "POST /crm/objects/2026-03/contacts/batch/create": contacts.batch.create,
        "POST /crm/objects/2026-03/contacts/batch/update": contacts.batch.update,
        "POST /crm/objects/2026-03/contacts/batch/read": partial(contacts.batch.get, **LEFT_OUT),
        "POST /crm/objects/2026-03/contacts/search": partial(_searched, contacts.search),
        "POST /crm/objects/2026-03/notes/batch/create": notes.batch.create,
        "POST /crm/objects/2026-03/notes/batch/read": partial(notes.batch.get, **LEFT_OUT),
        "POST /crm/associations/2026-03/contacts/notes/batch/read": partial(
            associations.batch.get, "notes", from_object_type="contacts"
        ),
        "POST /crm/properties/2026-03/contacts": partial(properties.create, "contacts"),
        "POST /crm/properties/2026-03/contacts/groups": partial(properties.groups.create, "contacts"),
        "GET /crm/properties/2026-03/contacts": partial(properties.list, "contacts"),
        "GET /crm/properties/2026-03/contacts/groups": partial(properties.groups.list, "contacts"),
        "POST /events/2026-03/event-definitions": definitions.create,
        "GET /events/2026-03/event-definitions": definitions.list,
        "POST /events/2026-03/send/batch": definitions.send_batch,
        "POST /crm/exports/2026-03/export/async": sdk.crm.exports.create_async,
        f"GET /crm/exports/2026-03/export/async/tasks/{EXPORT}/status": partial(
            sdk.crm.exports.get_status, int(EXPORT)
        ),
        "GET /crm/limits/2026-03/records": sdk.crm.limits.get_record_limits,
        "GET /account-info/2026-03/details": sdk.account.get,
        "GET /account-info/2026-03/api-usage/daily/private-apps": sdk.account.get_daily_private_apps_usage,
    }


async def _searched(
    search: Callable[..., Awaitable[object]], *, sorts: Sequence[Mapping[str, str]] = (), **asked: Any
) -> object:
    # The SDK takes them for texts, whose fields it does not spell in its own way.
    names = [{"propertyName": one["property_name"], "direction": one["direction"]} for one in sorts]
    return await search(sorts=names, **asked)


def arguments(value: Any) -> Any:
    """Return a JSON value as the SDK's arguments are spelt: `idProperty` is `id_property`."""
    if isinstance(value, list):
        return [arguments(item) for item in value]
    if isinstance(value, dict):
        return {_CAPITAL.sub(r"_\1", name).lower(): arguments(item) for name, item in value.items()}
    return value


async def test_each_request_of_our_client_is_what_the_sdk_sends() -> None:
    ours = await our_requests()
    recorder = Recorder()
    async with hubspot_sdk.AsyncHubSpot(
        access_token=TOKEN, base_url="http://hubspot", http_client=httpx.AsyncClient(transport=recorder)
    ) as sdk:
        calls = calls_of(sdk)
        for request in ours:
            call = calls[f"{request.method} {request.path}"]
            await call(**arguments(request.body if request.body is not None else {}))

    for request, theirs in zip(ours, recorder.sent, strict=True):
        body = theirs.body
        if isinstance(body, dict) and "propertiesWithHistory" not in (request.body or {}):
            body = {name: value for name, value in body.items() if name != "propertiesWithHistory"}
        assert (theirs.method, theirs.path, body) == (request.method, request.path, request.body)
    assert {f"{request.method} {request.path}" for request in ours} == set(calls)
