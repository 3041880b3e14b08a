"""Our calls to HubSpot as spans: linked to the traces of their events, and silent about whom they are about."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime

import httpx
import pytest
from opentelemetry.trace import SpanKind, StatusCode
from pydantic import SecretStr

from hubspot_consumer.hubspot.client import HubSpotClient
from hubspot_consumer.hubspot.connection import http_client
from hubspot_consumer.hubspot.daily_quota import DailyQuota
from hubspot_consumer.hubspot.rate_limiter import RateLimiter
from hubspot_consumer.hubspot.requests import Note, TimelineEntry, Upsert
from runtime.clock import SystemClock
from sandbox.hubspot.app import simulator_app
from sandbox.hubspot.records.portal import Portal
from schemas.contacts import ContactKey
from tests.foreign.spans import ANOTHER, RUBBISH, TRACEPARENT, Spans, headers_of, linked
from tests.samples import EMAIL, PORTAL_ID, TOKEN, record

RECORDS = [record(headers=headers_of(one)) for one in (TRACEPARENT, RUBBISH, ANOTHER)]
UPSERT = Upsert("t1", ContactKey(EMAIL), {}, RECORDS)
ENTRY = TimelineEntry("e1", "nova_earned", ContactKey(EMAIL), "1", datetime(2026, 11, 24, tzinfo=UTC), {}, RECORDS)

WRITES: dict[str, tuple[str, Callable[[HubSpotClient], Awaitable[object]]]] = {
    "create": ("/crm/objects/2026-03/contacts/batch/create", lambda client: client.create([UPSERT])),
    "upsert": ("/crm/objects/2026-03/contacts/batch/upsert", lambda client: client.upsert([UPSERT])),
    "send": ("/events/2026-03/send/batch", lambda client: client.send([ENTRY])),
    "note": ("/crm/objects/2026-03/notes/batch/create", lambda client: client.note([Note("n1", ENTRY)])),
}


def client_of(http: httpx.AsyncClient) -> HubSpotClient:
    clock = SystemClock()
    rate_limiter = RateLimiter(100, 10, DailyQuota(10_000, clock), clock)
    return HubSpotClient(http, rate_limiter, "2026-03", PORTAL_ID, lambda _call: None)


@pytest.fixture
async def client(portal: Portal) -> AsyncIterator[HubSpotClient]:
    transport = httpx.ASGITransport(simulator_app(portal))
    async with http_client("https://us er:pass%40@hubspot:8443/", lambda: SecretStr(TOKEN), transport) as http:
        yield client_of(http)


@pytest.mark.parametrize("path_and_call", WRITES.values(), ids=list(WRITES))
async def test_a_call_that_writes_is_linked_to_the_traces_of_its_events(
    client: HubSpotClient, spans: Spans, path_and_call: tuple[str, Callable[[HubSpotClient], Awaitable[object]]]
) -> None:
    path, call = path_and_call

    await call(client)

    assert (spans.one.name, spans.one.kind) == (f"POST {path}", SpanKind.CLIENT)
    assert linked(spans.one) == [TRACEPARENT, ANOTHER]


async def test_a_span_says_how_hubspot_was_called_and_how_it_answered(client: HubSpotClient, spans: Spans) -> None:
    await client.upsert([UPSERT, replace(UPSERT, trace_id="t2", contact_key=ContactKey("grace@example.com"))])

    assert spans.one.attributes == {
        "http.request.method": "POST",
        "http.response.status_code": 200,
        "server.address": "hubspot",
        "server.port": 8443,
        "url.full": "https://hubspot:8443/crm/objects/2026-03/contacts/batch/upsert",
        "url.path": "/crm/objects/2026-03/contacts/batch/upsert",
    }
    assert spans.one.status.status_code is StatusCode.UNSET


async def test_a_call_that_hubspot_refuses_is_an_error(portal: Portal, spans: Spans) -> None:
    transport = httpx.ASGITransport(simulator_app(portal))
    async with http_client("http://hubspot", lambda: SecretStr("pat-na1-of-nobody"), transport) as http:
        await client_of(http).upsert([UPSERT])

    attributes = spans.one.attributes or {}
    assert (attributes["http.response.status_code"], attributes["error.type"]) == (401, "401")
    assert spans.one.status.status_code is StatusCode.ERROR
    assert linked(spans.one) == [TRACEPARENT, ANOTHER]


async def test_a_call_without_an_answer_is_an_error(spans: Spans) -> None:
    def cut(_request: httpx.Request) -> httpx.Response:
        raise httpx.ReadTimeout(f"no word of {EMAIL}")

    async with http_client("http://hubspot", lambda: SecretStr(TOKEN), httpx.MockTransport(cut)) as http:
        await client_of(http).upsert([UPSERT])

    attributes = spans.one.attributes or {}
    assert (attributes["error.type"], attributes["server.port"]) == ("ReadTimeout", 80)
    assert spans.one.status.status_code is StatusCode.ERROR
    assert EMAIL not in spans.one.to_json()


async def test_a_look_up_is_a_span_of_nobodys(client: HubSpotClient, spans: Spans) -> None:
    await client.known_contacts([ContactKey(EMAIL)])

    assert linked(spans.one) == []


@pytest.mark.parametrize("path_and_call", WRITES.values(), ids=list(WRITES))
async def test_no_span_holds_an_email_or_the_token(
    client: HubSpotClient, spans: Spans, path_and_call: tuple[str, Callable[[HubSpotClient], Awaitable[object]]]
) -> None:
    await path_and_call[1](client)

    told = spans.one.to_json()
    assert [secret for secret in (EMAIL, TOKEN, "ada@", "pass", "us er") if secret in told] == []
