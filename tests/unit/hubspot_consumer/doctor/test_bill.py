"""What the doctor says of contacts that HubSpot bills."""

import json

import httpx
import pytest
from pydantic import SecretStr

from hubspot_consumer.doctor.bill import contact_limit, marketing
from hubspot_consumer.doctor.examination import Answer, CannotTell, Level
from hubspot_consumer.hubspot.client import HubSpotClient
from hubspot_consumer.hubspot.connection import http_client
from hubspot_consumer.hubspot.daily_quota import DailyQuota
from hubspot_consumer.hubspot.rate_limiter import RateLimiter
from tests.clock import OwnedClock
from tests.samples import PORTAL_ID, TOKEN

NO_SCOPE = {"category": "MISSING_SCOPES", "message": "This app hasn't been granted all required scopes"}


def client_of(status: int, body: object) -> HubSpotClient:
    answer = json.dumps(body).encode()
    transport, clock = (
        httpx.MockTransport(lambda _: httpx.Response(status, stream=httpx.ByteStream(answer))),
        OwnedClock(),
    )
    http = http_client("http://hubspot", lambda: SecretStr(TOKEN), transport)
    return HubSpotClient(http, RateLimiter(100, 10, DailyQuota(100, clock), clock), "2026-09", PORTAL_ID)


async def limit_said(status: int, body: object) -> Answer:
    client = client_of(status, body)
    try:
        return await contact_limit(client)
    finally:
        await client.close()


def of_contacts(**usage: object) -> dict[str, object]:
    companies = {"objectTypeId": "0-2", "limit": 1, "usage": 1}
    return {"hubspotDefinedObjectTypes": [companies, {"objectTypeId": "0-1", **usage}]}


@pytest.mark.parametrize(("used", "level"), [(0, "ok"), (899, "ok"), (900, "warn"), (999, "warn"), (1_000, "fail")])
async def test_the_limit_of_contacts_is_told_before_it_is_reached(used: int, level: Level) -> None:
    answer = await limit_said(200, of_contacts(limit=1_000, usage=used))

    assert answer.level == level
    assert answer.what.startswith(f"{used:,} of 1,000 contacts that the account may have")
    assert bool(answer.do) is (level != "ok")


@pytest.mark.parametrize(
    ("status", "body", "why"),
    [
        (403, NO_SCOPE, "the token has no scope for it"),
        (404, {}, "HubSpot does not say it .*limits/2026-09/records"),
        (200, {}, "HubSpot does not say it"),
        (200, of_contacts(limit=None, usage=1), "HubSpot does not say it"),
        (200, of_contacts(limit=True, usage=1), "HubSpot does not say it"),
        (200, of_contacts(limit=10, usage=-1), "HubSpot does not say it"),
        (200, of_contacts(limit=10**400, usage=1), "HubSpot does not say it"),
    ],
)
async def test_a_limit_that_nobody_tells_is_not_judged(status: int, body: object, why: str) -> None:
    with pytest.raises(CannotTell, match=f"how many contacts the account may have is not known: {why}"):
        await limit_said(status, body)


async def test_our_marketing_contacts_are_counted_and_who_decides_is_said() -> None:
    client = client_of(200, {"total": 12, "results": []})
    answer = await marketing(client)
    await client.close()

    assert answer.level == "ok"
    assert answer.what.startswith("12 of the contacts that workers wrote are marketing contacts, which HubSpot bills")
    assert "no API" in answer.what


@pytest.mark.parametrize(("status", "body"), [(400, {"message": "unknown property"}), (200, {}), (200, {"total": "1"})])
async def test_a_portal_without_marketing_contacts_is_not_judged(status: int, body: object) -> None:
    client = client_of(status, body)
    with pytest.raises(CannotTell, match="HubSpot does not say which contacts are marketing contacts"):
        await marketing(client)
    await client.close()
