"""HubSpot's search for contacts, as the simulator has it."""

from typing import Any

import httpx
import pytest

from sandbox.hubspot.records.portal import Portal
from tests.clock import OwnedClock
from tests.samples import TOKEN

CONTACTS = "/crm/objects/2026-03/contacts"


@pytest.fixture
def clock() -> OwnedClock:
    return OwnedClock()


@pytest.fixture
def portal(clock: OwnedClock) -> Portal:
    return Portal(12345, [TOKEN], clock=clock)


@pytest.fixture
async def three(hubspot: httpx.AsyncClient, clock: OwnedClock) -> None:
    """Three contacts that a search sees."""
    contacts = [
        {"email": "ada@example.com", "firstname": "Ada", "company": "Analytical Engines", "lifecyclestage": "customer"},
        {"email": "bob@example.com", "firstname": "Bob", "phone": "555 1234", "hs_additional_emails": "b@example.com"},
        {"email": "cy@example.org", "firstname": "Cy", "company": "Engine Yard"},
    ]
    for properties in contacts:
        assert (await hubspot.post(CONTACTS, json={"properties": properties})).status_code == 201
        clock.advance(3)


async def search(hubspot: httpx.AsyncClient, **body: Any) -> httpx.Response:
    return await hubspot.post(f"{CONTACTS}/search", json=body)


async def found(hubspot: httpx.AsyncClient, **body: Any) -> list[str]:
    answer = await search(hubspot, **body)
    assert answer.status_code == 200, answer.text
    return [result["properties"]["firstname"] for result in answer.json()["results"]]


def group(*filters: tuple[str, str, Any]) -> dict[str, Any]:
    return {
        "filters": [
            {"propertyName": name, "operator": operator, "values" if isinstance(value, list) else "value": value}
            for name, operator, value in filters
        ]
    }


@pytest.mark.parametrize(
    ("criterion", "names"),
    [
        (("email", "EQ", "ADA@example.com"), ["Ada"]),
        (("email", "NEQ", "ada@example.com"), ["Bob", "Cy"]),
        (("email", "IN", ["ada@example.com", "cy@example.org"]), ["Ada", "Cy"]),
        (("company", "HAS_PROPERTY", None), ["Ada", "Cy"]),
        (("company", "NOT_HAS_PROPERTY", None), ["Bob"]),
        (("company", "CONTAINS_TOKEN", "engine*"), ["Ada", "Cy"]),
        (("email", "CONTAINS_TOKEN", "*@example.org"), ["Cy"]),
        (("createdate", "GT", "2026-11-24T00:00:00Z"), ["Bob", "Cy"]),
        (("createdate", "GTE", "1795478400000"), ["Ada", "Bob", "Cy"]),
        (("hs_object_id", "LT", "152"), ["Ada"]),
        (("hs_object_id", "LTE", "152"), ["Ada", "Bob"]),
        (("email", "EQ", "b@example.com"), []),
    ],
)
async def test_a_filter_finds_the_contacts_for_which_it_holds(
    hubspot: httpx.AsyncClient, three: None, criterion: tuple[str, str, Any], names: list[str]
) -> None:
    assert await found(hubspot, filterGroups=[group(criterion)]) == names


async def test_groups_add_up_and_the_filters_of_a_group_all_hold(hubspot: httpx.AsyncClient, three: None) -> None:
    engines = ("company", "CONTAINS_TOKEN", "*engine*")
    groups = [group(engines, ("lifecyclestage", "EQ", "customer")), group(("firstname", "EQ", "Bob"))]

    assert await found(hubspot, filterGroups=groups) == ["Ada", "Bob"]
    assert await found(hubspot, query="engine") == ["Ada", "Cy"]
    assert await found(hubspot) == ["Ada", "Bob", "Cy"]


async def test_results_are_sorted_and_come_in_pages(hubspot: httpx.AsyncClient, three: None) -> None:
    sorts = [{"propertyName": "email", "direction": "DESCENDING"}]
    first = (await search(hubspot, sorts=sorts, limit=2, properties=["phone"])).json()
    second = (await search(hubspot, sorts=sorts, limit=2, after=first["paging"]["next"]["after"])).json()

    assert (first["total"], [result["properties"]["phone"] for result in first["results"]]) == (3, [None, "555 1234"])
    assert [result["properties"]["email"] for result in second["results"]] == ["ada@example.com"]
    assert "paging" not in second


@pytest.mark.parametrize(
    "body",
    [
        {"limit": 201},
        {"after": "9991"},
        {"filterGroups": [group(("nobody", "EQ", "1"))]},
        {"filterGroups": [group(("email", "LIKE", "1"))]},
        {"filterGroups": [group(("email", "EQ", "1"))] * 6},
        {"filterGroups": [group(*[("email", "EQ", "1")] * 7)]},
        {"sorts": ["nobody"]},
    ],
)
async def test_a_search_beyond_its_limits_is_refused(hubspot: httpx.AsyncClient, body: dict[str, Any]) -> None:
    answer = await search(hubspot, **body)

    assert (answer.status_code, answer.json()["category"]) == (400, "VALIDATION_ERROR")


async def test_a_search_sees_a_write_after_a_while_and_a_read_sees_it_at_once(
    hubspot: httpx.AsyncClient, clock: OwnedClock, three: None
) -> None:
    ada = f"{CONTACTS}/ada@example.com?idProperty=email&properties=lifecyclestage"
    await hubspot.patch(ada, json={"properties": {"lifecyclestage": "evangelist", "firstname": "Lady Ada"}})
    await hubspot.post(CONTACTS, json={"properties": {"email": "dan@example.com", "firstname": "Dan"}})
    customers = [group(("lifecyclestage", "EQ", "customer"))]
    early = await found(hubspot), await found(hubspot, filterGroups=customers)
    clock.advance(2)

    assert (await hubspot.get(ada)).json()["properties"]["lifecyclestage"] == "evangelist"
    assert early == (["Ada", "Bob", "Cy"], ["Ada"])
    assert await found(hubspot) == ["Lady Ada", "Bob", "Cy", "Dan"]
    assert await found(hubspot, filterGroups=customers) == []


async def test_an_archived_contact_is_found_for_a_while(
    hubspot: httpx.AsyncClient, clock: OwnedClock, three: None
) -> None:
    await hubspot.delete(f"{CONTACTS}/151")
    early = await found(hubspot)
    clock.advance(2)

    assert early == ["Ada", "Bob", "Cy"]
    assert await found(hubspot) == ["Bob", "Cy"]


async def test_searches_have_a_rate_of_their_own_and_spend_of_the_day_alone(
    hubspot: httpx.AsyncClient, portal: Portal, clock: OwnedClock
) -> None:
    portal.change_settings(quota=1)
    answers = [await search(hubspot) for _ in range(6)]
    clock.advance(1)
    answers.append(await search(hubspot))

    assert [answer.status_code for answer in answers] == [200] * 5 + [429, 200]
    refused = answers[5].json()
    assert (refused["message"], refused["category"]) == ("You have reached your secondly limit.", "RATE_LIMITS")
    assert "policyName" not in refused
    for answer in answers:
        told = sorted(name for name in answer.headers if "ratelimit" in name)
        assert told == ["x-hubspot-ratelimit-daily", "x-hubspot-ratelimit-daily-remaining"]
    assert portal.quota.used_today(portal.settings) == 6
    portal.change_settings(daily_limit=6)
    assert (await search(hubspot)).json()["policyName"] == "DAILY"
