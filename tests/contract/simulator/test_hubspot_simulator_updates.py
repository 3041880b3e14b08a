"""What HubSpot makes of a write besides what it says, as the simulator does."""

from typing import Any

import httpx
import pytest

from sandbox.hubspot.records.portal import Portal

PATHS = {
    "v3": "/crm/v3/objects/contacts",
    "2026-03": "/crm/objects/2026-03/contacts",
    "2026-09": "/crm/objects/2026-09/contacts",
}
CONTACTS = PATHS["2026-03"]


async def write(hubspot: httpx.AsyncClient, version: str = "2026-03", **properties: str) -> httpx.Response:
    body = {"id": "ada@example.com", "idProperty": "email", "properties": properties, "objectWriteTraceId": "t"}
    return await hubspot.post(f"{PATHS[version]}/batch/upsert", json={"inputs": [body]})


async def held(hubspot: httpx.AsyncClient, name: str) -> str | None:
    path = f"{CONTACTS}/ada@example.com?idProperty=email&properties={name}"
    properties: dict[str, str | None] = (await hubspot.get(path)).json()["properties"]
    return properties[name]


@pytest.mark.parametrize(
    ("writes", "stage"),
    [
        (["customer", "opportunity"], "customer"),
        (["customer", "evangelist"], "evangelist"),
        (["subscriber"], "subscriber"),
        (["", "subscriber"], "subscriber"),
        (["customer", "", "lead"], "lead"),
    ],
)
async def test_a_lifecycle_stage_moves_forward_and_a_step_back_is_answered_with_success(
    hubspot: httpx.AsyncClient, writes: list[str], stage: str
) -> None:
    for value in writes:
        answer = await write(hubspot, lifecyclestage=value, phone="1")
        assert answer.status_code == 200

    assert await held(hubspot, "lifecyclestage") == stage
    assert answer.json()["results"][0]["properties"]["lifecyclestage"] == stage


async def test_a_new_contact_is_a_lead_and_does_not_become_a_subscriber(hubspot: httpx.AsyncClient) -> None:
    await write(hubspot, phone="1")
    await write(hubspot, lifecyclestage="subscriber", phone="2")

    assert (await held(hubspot, "lifecyclestage"), await held(hubspot, "phone")) == ("lead", "2")
    [contact] = (await hubspot.get("/_simulator/contacts")).json()["results"]
    assert contact["writes"][-1]["properties"] == {"phone": "2"}


async def test_a_leading_semicolon_adds_to_a_checkbox_and_is_text_elsewhere(hubspot: httpx.AsyncClient) -> None:
    options = [{"label": value, "value": value} for value in "abc"]
    body = {"type": "enumeration", "fieldType": "checkbox", "options": options}
    assert (await hubspot.put("/_simulator/properties/perks", json=body)).status_code == 200
    for value in ("a", ";c", ";a;b"):
        assert (await write(hubspot, perks=value, company=value)).status_code == 200

    assert (await held(hubspot, "perks"), await held(hubspot, "company")) == ("a;c;b", ";a;b")
    assert (await write(hubspot, perks=";d")).json()["errors"][0]["category"] == "VALIDATION_ERROR"


async def test_an_additional_email_is_added_the_same_way(hubspot: httpx.AsyncClient) -> None:
    await write(hubspot, hs_additional_emails="a@example.com")
    await write(hubspot, hs_additional_emails=";al@example.com")

    assert await held(hubspot, "hs_additional_emails") == "a@example.com;al@example.com"
    found = await hubspot.get(f"{CONTACTS}/a@example.com?idProperty=email")
    assert found.json()["properties"]["email"] == "ada@example.com"


async def test_a_batch_may_be_answered_as_pending_although_it_is_written(hubspot: httpx.AsyncClient) -> None:
    await hubspot.put("/_simulator/settings", json={"batch_status": "PENDING"})
    answer = await write(hubspot, phone="1")

    assert (answer.status_code, answer.json()["status"], answer.json()["results"]) == (200, "PENDING", [])
    assert await held(hubspot, "phone") == "1"


@pytest.fixture
def rules(portal: Portal) -> None:
    """An administrator's: a contact needs a phone, and a customer a company."""
    portal.change_settings(required_properties=("phone",), conditional_required={"lifecyclestage=customer": "company"})


def codes(body: dict[str, Any]) -> list[str]:
    return [error["code"] for error in body["errors"]]


async def test_an_administrators_rules_hold_from_2026_09_on(hubspot: httpx.AsyncClient, rules: None) -> None:
    new = await write(hubspot, "2026-09", company="Engines")
    created = await write(hubspot, "2026-09", phone="1")
    stage = await write(hubspot, "2026-09", lifecyclestage="customer")
    both = await write(hubspot, "2026-09", lifecyclestage="customer", company="Engines")
    held_already = await write(hubspot, "2026-09", lifecyclestage="customer")

    assert [answer.status_code for answer in (new, created, stage, both, held_already)] == [207, 200, 207, 200, 200]
    assert codes(new.json()["errors"][0]) == ["MISSING_REQUIRED_PROPERTY"]
    assert codes(stage.json()["errors"][0]) == ["MISSING_CONDITIONAL_REQUIRED_PROPERTY"]
    assert stage.json()["errors"][0]["errors"][0]["context"] == {"propertyName": ["company"]}


@pytest.mark.parametrize("version", ["v3", "2026-03"])
async def test_an_administrators_rules_do_not_hold_before(
    hubspot: httpx.AsyncClient, rules: None, version: str
) -> None:
    assert (await write(hubspot, version, lifecyclestage="customer")).status_code == 200


async def test_a_single_write_that_breaks_a_rule_is_refused(hubspot: httpx.AsyncClient, rules: None) -> None:
    path = PATHS["2026-09"]
    created = await hubspot.post(path, json={"properties": {"email": "ada@example.com"}})
    await hubspot.post(path, json={"properties": {"email": "ada@example.com", "phone": "1"}})
    stage = {"properties": {"lifecyclestage": "customer"}}
    changed = await hubspot.patch(f"{path}/ada@example.com?idProperty=email", json=stage)

    assert (created.status_code, codes(created.json())) == (400, ["MISSING_REQUIRED_PROPERTY"])
    assert (changed.status_code, codes(changed.json())) == (400, ["MISSING_CONDITIONAL_REQUIRED_PROPERTY"])
