"""HubSpot's tokens and quota, as the simulator has them."""

from datetime import UTC, datetime, timedelta

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.hubspot.clock import PortalClock
from sandbox.hubspot.http.quota import Quota
from sandbox.hubspot.records.portal import Portal
from sandbox.hubspot.settings import Settings
from tests.samples import TOKEN

OTHER = "pat-na1-99999999-2222-4333-8444-555555555555"
DETAILS = "/account-info/v3/details"


class StandingClock:
    """Time passes only when the portal's clock is advanced."""

    def now(self) -> datetime:
        return datetime(2026, 11, 24, 12, tzinfo=UTC)

    def monotonic(self) -> float:
        return 1_000.0


@pytest.fixture
def portal() -> Portal:
    return Portal(12345, [TOKEN], quota=3, daily_limit=5, clock=StandingClock())


@pytest.mark.parametrize("header", ["", "Basic x", "Bearer ", TOKEN])
async def test_a_call_without_credentials_is_told_so(hubspot: httpx.AsyncClient, header: str) -> None:
    answer = await hubspot.get(DETAILS, headers={"Authorization": header})

    assert (answer.status_code, answer.json()["category"]) == (401, "INVALID_AUTHENTICATION")
    assert "X-HubSpot-RateLimit-Max" not in answer.headers


@pytest.mark.parametrize("token", [OTHER, "nonsense"])
async def test_an_unknown_token_expired_in_1970(hubspot: httpx.AsyncClient, token: str) -> None:
    answer = await hubspot.get(DETAILS, headers={"Authorization": f"Bearer {token}"})

    assert (answer.status_code, answer.json()["category"]) == (401, "EXPIRED_AUTHENTICATION")
    assert answer.json()["message"] == "The OAuth token used to make this call expired 20781 day(s) ago."
    assert answer.json()["context"] == {"expire time": ["1970-01-01T00:00:00Z"]}
    assert token not in answer.text


async def test_while_a_token_is_rotated_both_are_valid_then_the_old_one_expires(
    hubspot: httpx.AsyncClient, portal: Portal
) -> None:
    other = {"Authorization": f"Bearer {OTHER}"}
    assert (await hubspot.post("/_simulator/tokens", json={"action": "add", "token": OTHER})).status_code == 204
    assert [(await hubspot.get(DETAILS, headers=headers)).status_code for headers in ({}, other)] == [200, 200]

    await hubspot.post("/_simulator/tokens", json={"action": "revoke", "token": TOKEN})
    portal.clock.advance(timedelta(seconds=7))
    answer = await hubspot.get(DETAILS)

    assert answer.status_code == 401
    assert "expired 7 second(s) ago" in answer.json()["message"]
    assert (await hubspot.get(DETAILS, headers=other)).status_code == 200


async def test_a_missing_scope_is_named(hubspot: httpx.AsyncClient, portal: Portal) -> None:
    portal.tokens.add(OTHER, ("crm.objects.contacts.read",))
    answer = await hubspot.post(
        "/crm/v3/objects/contacts/batch/upsert",
        json={"inputs": []},
        headers={"Authorization": f"Bearer {OTHER}"},
    )

    assert (answer.status_code, answer.json()["category"]) == (403, "MISSING_SCOPES")
    [error] = answer.json()["errors"]
    assert error["context"] == {"requiredGranularScopes": ["crm.objects.contacts.write"]}


async def test_the_account_and_the_token_tell_about_themselves(hubspot: httpx.AsyncClient) -> None:
    details = (await hubspot.get("/account-info/2026-03/details")).json()
    info = (await hubspot.post("/oauth/v2/private-apps/get/access-token-info", json={"tokenKey": TOKEN})).json()
    usage = (await hubspot.get("/account-info/v3/api-usage/daily/private-apps")).json()["results"][0]

    assert (details["portalId"], details["timeZone"], details["utcOffset"]) == (12345, "US/Eastern", "-05:00")
    assert info["hubId"] == 12345
    assert "crm.objects.contacts.write" in info["scopes"]
    assert (usage["usageLimit"], usage["currentUsage"], usage["resetsAt"]) == (5, 2, "2026-11-25T05:00:00.000Z")


async def test_a_call_beyond_the_burst_quota_is_refused_until_the_window_has_moved(
    hubspot: httpx.AsyncClient, portal: Portal
) -> None:
    answers = [await hubspot.get(DETAILS) for _ in range(4)]
    portal.clock.advance(timedelta(seconds=9.9))
    early = await hubspot.get(DETAILS)
    portal.clock.advance(timedelta(seconds=0.1))
    late = await hubspot.get(DETAILS)

    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert [answer.headers["X-HubSpot-RateLimit-Remaining"] for answer in answers] == ["2", "1", "0", "0"]
    assert [answer.headers["X-HubSpot-RateLimit-Daily-Remaining"] for answer in answers] == ["4", "3", "2", "2"]
    body = answers[3].json()
    assert (body["errorType"], body["policyName"]) == ("RATE_LIMIT", "TEN_SECONDLY_ROLLING")
    assert body["message"] == "You have reached your ten_secondly_rolling limit."
    assert "category" not in body
    assert "Retry-After" not in answers[3].headers
    assert (early.status_code, late.status_code) == (429, 200)


async def test_a_call_beyond_the_days_quota_is_refused_until_midnight_in_the_portals_time_zone(
    hubspot: httpx.AsyncClient, portal: Portal
) -> None:
    for _ in range(5):
        assert (await hubspot.get(DETAILS)).status_code == 200
        portal.clock.advance(timedelta(seconds=10))
    spent = await hubspot.get(DETAILS)
    portal.clock.advance(datetime(2026, 11, 25, 4, 59, 59, tzinfo=UTC) - portal.clock.now())
    before_midnight = await hubspot.get(DETAILS)
    portal.clock.advance(timedelta(seconds=1))
    after_midnight = await hubspot.get(DETAILS)

    assert (spent.status_code, spent.json()["policyName"]) == (429, "DAILY")
    assert spent.json()["message"] == "You have reached your daily limit."
    assert (before_midnight.status_code, after_midnight.status_code) == (429, 200)


async def test_each_token_has_its_own_window_and_all_share_the_day(hubspot: httpx.AsyncClient, portal: Portal) -> None:
    portal.tokens.add(OTHER)
    answers = [await hubspot.get(DETAILS) for _ in range(3)]
    answers += [await hubspot.get(DETAILS, headers={"Authorization": f"Bearer {OTHER}"}) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [200] * 5 + [429]
    assert answers[5].json()["policyName"] == "DAILY"


async def test_sending_events_spends_no_quota(hubspot: httpx.AsyncClient, portal: Portal) -> None:
    for _ in range(10):
        answer = await hubspot.post("/events/v3/send/batch", json={"inputs": []})
        assert answer.status_code == 204

    assert portal.quota.used_today(portal.settings) == 0


async def test_retry_after_is_sent_where_the_switch_says_so(hubspot: httpx.AsyncClient, portal: Portal) -> None:
    portal.change_settings(retry_after_on_429=True, quota=1)
    await hubspot.get(DETAILS)
    portal.clock.advance(timedelta(seconds=4))

    assert (await hubspot.get(DETAILS)).headers["Retry-After"] == "6"


@given(st.lists(st.floats(0, 4), max_size=60), st.integers(1, 5))
def test_no_window_ever_holds_more_calls_than_the_quota(pauses: list[float], quota: int) -> None:
    clock = PortalClock(StandingClock())
    settings = Settings(quota=quota)
    window = Quota(clock)
    admitted: list[float] = []
    for pause in pauses:
        clock.advance(timedelta(seconds=pause))
        if window.admit("token", settings) is None:
            admitted.append(clock.monotonic())

    for start in admitted:
        assert sum(start <= time < start + settings.window_s for time in admitted) <= quota
