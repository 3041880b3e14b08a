"""Our client and HubSpot's API, as the simulator has it, in each version of its paths."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Literal
from uuid import UUID

import httpx
import pytest
from pydantic import SecretStr

from hubspot_consumer.hubspot import connection
from hubspot_consumer.hubspot.account import PortalDetails
from hubspot_consumer.hubspot.client import HubSpotClient
from hubspot_consumer.hubspot.connection import http_client
from hubspot_consumer.hubspot.daily_quota import DailyQuota
from hubspot_consumer.hubspot.outcomes import Delivered, Halt, Rejected, RetryLater
from hubspot_consumer.hubspot.paths import PATHS, ApiVersion
from hubspot_consumer.hubspot.rate_limiter import RateLimiter
from hubspot_consumer.hubspot.requests import KnownContact, TimelineEntry, Upsert
from hubspot_consumer.hubspot.results import NotesOfContacts
from hubspot_consumer.mapping import contact_properties, timeline_properties
from hubspot_consumer.provisioning.provision import Provision
from runtime.clock import SystemClock
from sandbox.hubspot.app import simulator_app
from sandbox.hubspot.records.portal import Portal
from sandbox.provisioned import provision
from schemas.contacts import ContactKey
from schemas.events import EVENT_TYPES
from tests.samples import PORTAL_ID, TOKEN, read

MANY_CALLS = 10_000
AT = datetime(2026, 11, 24, tzinfo=UTC)
ADA, GRACE = ContactKey("ada@example.com"), ContactKey("grace@example.com")


@pytest.fixture
def portal() -> Portal:
    portal = Portal(PORTAL_ID, [TOKEN])
    portal.change_settings(quota=MANY_CALLS)
    return portal


@pytest.fixture
async def http(portal: Portal) -> AsyncIterator[httpx.AsyncClient]:
    async with http_client(
        "http://hubspot", lambda: SecretStr(TOKEN), httpx.ASGITransport(simulator_app(portal))
    ) as http:
        yield http


def client_of(http: httpx.AsyncClient, version: ApiVersion = "2026-03") -> HubSpotClient:
    return HubSpotClient(http, pacing_of(MANY_CALLS), version, PORTAL_ID, lambda _call: None)


def pacing_of(quota: int) -> RateLimiter:
    clock = SystemClock()
    return RateLimiter(quota, 10, DailyQuota(MANY_CALLS, clock), clock)


@pytest.fixture(params=list(PATHS))
async def client(request: pytest.FixtureRequest, portal: Portal, http: httpx.AsyncClient) -> HubSpotClient:
    """A client of a portal that has what we write to."""
    await provision(portal)
    return client_of(http, request.param)


def upsert(key: ContactKey, event_type: str = "nova_earned", sequence: int = 1) -> Upsert:
    return Upsert(f"{key}:{sequence}", key, contact_properties(read(event_type, sequence, key)))


def entry(contact_id: str | None, event_type: str, sequence: int) -> TimelineEntry:
    event = read(event_type, sequence)
    return TimelineEntry(
        str(UUID(int=sequence)), event_type, ADA, contact_id, event.occurred_at, timeline_properties(event)
    )


async def contact_id_of(client: HubSpotClient, key: ContactKey = ADA) -> str:
    outcome = (await client.upsert([upsert(key)])).outcomes[f"{key}:1"]
    assert isinstance(outcome, Delivered)
    return outcome.contact_id


@pytest.mark.parametrize("version", list(PATHS))
async def test_provisioning_creates_what_is_missing_and_then_nothing(
    http: httpx.AsyncClient, version: ApiVersion
) -> None:
    provisioning = Provision(client_of(http, version))
    before = await provisioning.plan()
    for missing in before.missing:
        await provisioning.create(missing)
    again = await provisioning.plan()

    assert len(before.missing) > len(EVENT_TYPES)
    assert (again.missing, again.mismatches) == ([], [])


async def test_the_token_names_its_portal_and_the_portal_takes_custom_events(client: HubSpotClient) -> None:
    portal = await client.portal()
    assert isinstance(portal, PortalDetails)
    assert (portal.portal_id, str(portal.zone)) == (PORTAL_ID, "US/Eastern")
    assert await client.takes_custom_events() is True


@pytest.mark.parametrize("event_type", EVENT_TYPES)
async def test_every_event_can_be_written_to_a_provisioned_portal(client: HubSpotClient, event_type: str) -> None:
    written = (await client.upsert([upsert(ADA, event_type)])).outcomes

    [outcome] = written.values()
    assert isinstance(outcome, Delivered), outcome
    assert await client.send([entry(outcome.contact_id, event_type, 1)]) is None


async def test_amounts_as_people_read_them_are_sent_once_the_portal_has_shown_that_it_takes_them(
    client: HubSpotClient, portal: Portal
) -> None:
    definition = portal.event_definitions.by_name["nerava_nova_earned"]
    amount = definition.properties.pop("amount")
    contact_id = await contact_id_of(client)
    assert await client.takes_custom_events() is True
    assert await client.send([entry(contact_id, "nova_earned", 1)]) is None
    definition.properties["amount"] = amount
    assert await client.takes_custom_events() is True
    assert await client.send([entry(contact_id, "nova_earned", 2)]) is None

    contact = portal.contacts.by_email(ADA)
    assert contact is not None
    shown = [one.properties.get("amount") for one in portal.timeline.occurrences_of(contact)]
    assert shown == [None, "$5.00"]


async def test_a_look_up_tells_what_was_applied_last_and_who_is_missing(client: HubSpotClient) -> None:
    contact_id = await contact_id_of(client)
    await client.upsert([upsert(ADA, sequence=2)])

    assert await client.known_contacts([ADA, GRACE]) == {ADA: KnownContact(contact_id, 2), GRACE: None}


async def test_one_bad_input_is_rejected_alone(client: HubSpotClient) -> None:
    bad = Upsert("bad", GRACE, {"nerava_no_such_property": "1"})

    outcomes = (await client.upsert([bad, upsert(ADA)])).outcomes

    assert isinstance(outcomes["bad"], Rejected)
    assert isinstance(outcomes[f"{ADA}:1"], Delivered)


async def test_two_inputs_that_name_one_contact_are_unclear(client: HubSpotClient) -> None:
    inputs = [upsert(ADA, sequence=1), upsert(ADA, sequence=2)]

    answer = await client.upsert(inputs)

    assert (answer.outcomes, answer.unclear) == ({}, inputs)


async def test_a_look_up_of_notes_is_a_call_of_the_day_and_none_of_the_ten_seconds(
    portal: Portal, http: httpx.AsyncClient
) -> None:
    limiter = pacing_of(MANY_CALLS)
    client = HubSpotClient(http, limiter, "2026-09", PORTAL_ID)

    assert await client.notes_of_contacts([("151", None)]) == NotesOfContacts([], [])

    assert (limiter.used, limiter.daily.remaining) == (0, MANY_CALLS - 1)


async def test_a_timeline_entry_sent_again_leaves_one(client: HubSpotClient, http: httpx.AsyncClient) -> None:
    contact_id = await contact_id_of(client)
    for _ in range(2):
        assert await client.send([entry(contact_id, "nova_earned", 1), entry(contact_id, "nova_earned", 2)]) is None

    timeline = (await http.get(f"/_simulator/contacts/{ADA}/timeline")).json()["results"]
    assert len(timeline) == 2


async def test_a_refused_token_halts_everything(portal: Portal, http: httpx.AsyncClient) -> None:
    portal.tokens.revoke(TOKEN)
    client = client_of(http)

    refusals = [
        await client.portal(),
        await client.takes_custom_events(),
        await client.known_contacts([ADA]),
        await client.send([entry("1", "nova_earned", 1)]),
        *(await client.upsert([upsert(ADA)])).outcomes.values(),
    ]

    assert [refusal.reason for refusal in refusals if isinstance(refusal, Halt)] == ["token_refused"] * 5


async def test_a_connection_that_fails_is_a_retry_of_everything_in_the_call() -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    client = client_of(http_client("http://hubspot", lambda: SecretStr(TOKEN), httpx.MockTransport(refuse)))

    outcomes = (await client.upsert([upsert(ADA), upsert(GRACE)])).outcomes

    assert {type(outcome) for outcome in outcomes.values()} == {RetryLater}
    assert isinstance(await client.send([entry("1", "nova_earned", 1)]), RetryLater)
    assert isinstance(await client.known_contacts([ADA]), RetryLater)


async def test_no_call_leaves_without_a_slot(http: httpx.AsyncClient) -> None:
    rate_limiter = pacing_of(2)
    client = HubSpotClient(http, rate_limiter, "2026-03", PORTAL_ID, lambda _call: None)
    await client.portal()
    rate_limiter.pause(3_600)

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(client.portal(), 0.05)

    assert (await http.get("/_simulator/statistics")).json()["calls"] == {
        "GET /account-info/2026-03/details": {"200": 1}
    }


async def test_an_answer_without_an_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "LARGEST_ANSWER", 1_000)
    endless = httpx.MockTransport(lambda _: httpx.Response(200, content=b"x" * 1_001))
    client = client_of(http_client("http://hubspot", lambda: SecretStr(TOKEN), endless))

    assert await client.known_contacts([ADA]) == RetryLater("no answer: AnswerTooLarge", outage=True, too_large=True)


async def test_a_redirect_is_not_followed_and_the_token_sent_nowhere_else() -> None:
    asked: list[str] = []

    def elsewhere(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.host)
        return httpx.Response(307, headers={"Location": "http://elsewhere/"}, stream=httpx.ByteStream(b""))

    client = client_of(http_client("http://hubspot", lambda: SecretStr(TOKEN), httpx.MockTransport(elsewhere)))

    refusal = await client.known_contacts([ADA])

    assert isinstance(refusal, Halt)
    assert "redirected to http://elsewhere/" in refusal.detail
    assert "HUBSPOT_API_BASE_URL" in refusal.detail
    assert asked == ["hubspot"]


@pytest.mark.parametrize("refusal", ["expired", "no_route"])
async def test_a_token_of_the_wrong_form_is_read_again_and_named(
    portal: Portal, refusal: Literal["expired", "no_route"]
) -> None:
    configured = ["pat-na1-cut"]
    portal.change_settings(malformed_credentials=refusal)
    async with http_client(
        "http://hubspot", lambda: SecretStr(configured[-1]), httpx.ASGITransport(simulator_app(portal))
    ) as http:
        client = client_of(http)
        refused = await client.portal()
        assert isinstance(refused, Halt)
        assert (refused.reason, "HUBSPOT_PRIVATE_APP_TOKEN" in refused.detail) == ("token_refused", True)

        configured.append(TOKEN)
        assert isinstance(await client.portal(), PortalDetails)


async def test_a_spent_limit_of_events_pauses_events_and_no_contacts(client: HubSpotClient, portal: Portal) -> None:
    portal.change_settings(event_calls_per_s=1)
    entry = TimelineEntry("00000000-0000-4000-8000-000000000001", "nova_earned", ADA, None, AT, {})
    first, second = await client.send([entry]), await client.send([entry])
    calls = portal.log.total
    third = await client.send([entry])

    assert first is None
    assert isinstance(second, RetryLater)
    assert isinstance(third, RetryLater)
    assert portal.log.total == calls, "it is not even asked"
    async with asyncio.timeout(1):
        await client.slot()


async def test_a_refused_token_is_read_again_once_and_only_a_new_one_is_tried(portal: Portal) -> None:
    new, configured = "pat-na1-22222222-2222-4333-8444-555555555555", [TOKEN]
    async with http_client(
        "http://hubspot", lambda: SecretStr(configured[-1]), httpx.ASGITransport(simulator_app(portal))
    ) as http:
        client = client_of(http)
        portal.tokens.revoke(TOKEN)
        assert isinstance(await client.portal(), Halt)
        assert portal.log.total == 1, "the same token is not tried twice"

        portal.tokens.add(new)
        configured.append(new)
        assert isinstance(await client.portal(), PortalDetails)
        assert portal.log.total == 3
