"""Where custom events and the account are: where HubSpot's specification of each version has them, and looked for if
they are not.
"""

from collections.abc import AsyncIterator
from uuid import UUID

import httpx
import pytest
from pydantic import SecretStr

from hubspot_consumer.hubspot.account import PortalDetails, Usage
from hubspot_consumer.hubspot.client import HubSpotClient
from hubspot_consumer.hubspot.connection import http_client
from hubspot_consumer.hubspot.daily_quota import DailyQuota
from hubspot_consumer.hubspot.outcomes import Halt, RetryLater
from hubspot_consumer.hubspot.paths import PATHS, ApiVersion
from hubspot_consumer.hubspot.rate_limiter import RateLimiter
from hubspot_consumer.hubspot.requests import TimelineEntry
from hubspot_consumer.mapping import timeline_properties
from hubspot_consumer.provisioning.provision import Provision, ProvisionRefused
from runtime.clock import SystemClock
from sandbox.hubspot.app import simulator_app
from sandbox.hubspot.faults.faults import Fault, Match, StatusAnswer, When
from sandbox.hubspot.records.portal import Portal
from sandbox.provisioned import provision
from schemas.contacts import ContactKey
from schemas.events import EVENT_TYPES
from tests.samples import PORTAL_ID, TOKEN, read

MANY_CALLS = 10_000


@pytest.fixture
def portal() -> Portal:
    portal = Portal(PORTAL_ID, [TOKEN])
    portal.change_settings(quota=MANY_CALLS)
    return portal


@pytest.fixture
async def http(portal: Portal) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(simulator_app(portal))
    async with http_client("http://hubspot", lambda: SecretStr(TOKEN), transport) as http:
        yield http


def client_of(http: httpx.AsyncClient, version: ApiVersion) -> HubSpotClient:
    clock = SystemClock()
    rate_limiter = RateLimiter(MANY_CALLS, 10, DailyQuota(MANY_CALLS, clock), clock)
    return HubSpotClient(http, rate_limiter, version, PORTAL_ID, lambda _call: None)


def entry(sequence: int = 1) -> TimelineEntry:
    event = read("nova_earned", sequence)
    uuid, properties = str(UUID(int=sequence)), timeline_properties(event)
    return TimelineEntry(uuid, "nova_earned", ContactKey("ada@example.com"), "1", event.occurred_at, properties)


@pytest.mark.parametrize("version", list(PATHS))
async def test_custom_events_are_where_hubspots_specification_of_each_version_has_them(
    portal: Portal, http: httpx.AsyncClient, version: ApiVersion
) -> None:
    await provision(portal)
    client = client_of(http, version)

    assert await client.takes_custom_events() is True
    assert await client.send([entry()]) is None

    assert portal.log.by_path() == {
        f"GET /events/{version}/event-definitions": {"200": 1},
        f"POST /events/{version}/send/batch": {"204": 1},
    }


@pytest.mark.parametrize(
    ("version", "place"), [(version, place) for version in PATHS for place in PATHS[version].events[1:]]
)
async def test_custom_events_are_found_wherever_hubspots_pages_have_put_them_and_then_asked_there(
    portal: Portal, http: httpx.AsyncClient, version: ApiVersion, place: str
) -> None:
    await provision(portal)
    others = {f"/events/{other}": f"/moved/{other}" for other in PATHS if f"/events/{other}" != place}
    portal.change_settings(moved_paths=others if place.count("/") == 2 else {f"/events/{version}": place})
    client = client_of(http, version)

    assert await client.takes_custom_events() is True
    plan = await Provision(client).plan()
    assert (plan.no_custom_events, plan.missing) == (None, [])
    assert [await client.send([entry(sequence)]) for sequence in (1, 2)] == [None, None]

    calls = portal.log.by_path()
    assert calls[f"GET {place}/event-definitions"] == {"200": 2}
    assert calls[f"POST {place}/send/batch"] == {"204": 2}


async def test_definitions_are_found_where_they_moved_though_sending_stayed(
    portal: Portal, http: httpx.AsyncClient
) -> None:
    portal.change_settings(
        moved_paths={"/events/2026-09/event-definitions": "/events/custom/2026-09/event-definitions"}
    )
    client = client_of(http, "2026-09")
    provisioning = Provision(client)

    for missing in (await provisioning.plan()).missing:
        await provisioning.create(missing)

    assert await client.send([entry()]) is None
    calls = portal.log.by_path()
    assert calls["POST /events/2026-09/send/batch"] == {"204": 1}
    assert calls["POST /events/custom/2026-09/event-definitions"] == {"201": len(EVENT_TYPES)}
    assert len(portal.event_definitions.by_name) == len(EVENT_TYPES)


async def test_custom_events_that_are_nowhere_are_asked_for_once_at_each_place(
    portal: Portal, http: httpx.AsyncClient
) -> None:
    portal.change_settings(moved_paths={f"/events/{version}": f"/moved/{version}" for version in PATHS})
    client = client_of(http, "2026-09")

    asked = await client.takes_custom_events()
    refusal = await client.send([entry()])

    # A path that does not exist says nothing of the tier, so it makes nobody choose notes.
    assert isinstance(asked, Halt)
    assert isinstance(refusal, Halt)
    assert asked.reason == refusal.reason == "endpoint_not_found"
    assert "/events/2026-09/send/batch" in refusal.detail
    assert portal.log.total == 2 * len(PATHS["2026-09"].events)


async def test_an_outage_while_custom_events_are_looked_for_says_nothing_of_where_they_are(
    portal: Portal, http: httpx.AsyncClient
) -> None:
    portal.change_settings(moved_paths={"/events/2026-09": "/events/custom/2026-09"})
    portal.faults.add(Fault(answer=StatusAnswer(status=502), match=Match(path="/events/custom/"), when=When(count=1)))
    client = client_of(http, "2026-09")

    assert isinstance(await client.takes_custom_events(), RetryLater)
    assert await client.takes_custom_events() is True


async def test_where_definitions_are_nowhere_provision_says_so_and_does_not_call_the_portal_complete(
    portal: Portal, http: httpx.AsyncClient
) -> None:
    portal.change_settings(moved_paths={f"/events/{version}": f"/moved/{version}" for version in PATHS})

    with pytest.raises(ProvisionRefused, match="/events/2026-09/event-definitions"):
        await Provision(client_of(http, "2026-09")).plan()


@pytest.mark.parametrize("version", list(PATHS))
async def test_a_portal_whose_account_path_does_not_exist_is_known_by_that_of_another_version(
    portal: Portal, http: httpx.AsyncClient, version: ApiVersion
) -> None:
    portal.change_settings(moved_paths={f"/account-info/{version}": "/moved"})
    client = client_of(http, version)

    for _ in range(2):
        details = await client.portal()
        assert isinstance(details, PortalDetails)
        assert details.portal_id == PORTAL_ID
    assert isinstance(await client.usage(), Usage)
    another = PATHS[version].accounts[1]
    calls = portal.log.by_path()
    assert calls[f"GET {another}/details"] == {"200": 2}
    assert calls[f"GET {another}/api-usage/daily/private-apps"] == {"200": 1}
    assert portal.log.total == 5, "each was looked for once"


async def test_a_portal_whose_account_is_nowhere_is_not_taken_for_one_that_is_not_named(
    portal: Portal, http: httpx.AsyncClient
) -> None:
    portal.change_settings(moved_paths={f"/account-info/{version}": f"/moved/{version}" for version in PATHS})

    refusal = await client_of(http, "2026-09").portal()

    assert isinstance(refusal, Halt)
    assert refusal.reason == "endpoint_not_found"
    assert "/account-info/2026-09/details" in refusal.detail
    assert portal.log.total == len(PATHS["2026-09"].accounts)


async def test_a_redirect_of_a_call_is_no_reason_to_try_its_other_paths(
    portal: Portal, http: httpx.AsyncClient
) -> None:
    portal.faults.add(Fault(answer=StatusAnswer(status=301)))
    client = client_of(http, "2026-09")

    for refusal in (await client.portal(), await client.takes_custom_events(), await client.send([entry()])):
        assert isinstance(refusal, Halt)
        assert "HUBSPOT_API_BASE_URL" in refusal.detail
    assert portal.log.total == 3
