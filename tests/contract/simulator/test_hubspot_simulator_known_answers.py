"""Answers that somebody published, which the simulator gives where a fault demands it."""

from typing import Any

import httpx
import pytest

from sandbox.hubspot.faults.known_answers import KNOWN
from sandbox.hubspot.records.portal import Portal

UPSERT = "/crm/objects/2026-03/contacts/batch/upsert"
SEND = "/events/2026-03/send/batch"


async def fail(hubspot: httpx.AsyncClient, answer: dict[str, Any], **more: Any) -> None:
    made = await hubspot.post("/_simulator/faults", json={"answer": answer, **more})
    assert made.status_code == 201, made.text


async def upsert(hubspot: httpx.AsyncClient, *names: str, traced: bool = True) -> httpx.Response:
    inputs = [
        {"id": f"{name}@example.com", "idProperty": "email", "properties": {"phone": "1"}}
        | ({"objectWriteTraceId": name} if traced else {})
        for name in names
    ]
    return await hubspot.post(UPSERT, json={"inputs": inputs})


@pytest.mark.parametrize(
    ("name", "status", "words"),
    [
        ("token_of_another_region", 530, "error code: 1016"),
        ("banned", 403, "BANNED"),
        ("forbidden_without_scopes", 403, "OAuth access token"),
        ("scope_not_public", 403, "MISSING_SCOPES"),
        ("firewall_page", 403, "<h1>Sorry, you have been blocked"),
        ("maintenance_page", 200, "<h1>"),
        ("sign_in_page", 200, "<h1>"),
        ("not_found_page", 404, "<h1>"),
        ("moved_301", 301, ""),
        ("moved_302", 302, ""),
        ("moved_307", 307, ""),
        ("moved_308", 308, ""),
        ("rate_limit_as_500", 500, "RATE_LIMITS"),
        ("rate_limit_of_the_proxy", 429, "error code: 1015"),
        ("monthly_limit", 429, "MONTHLY"),
        ("no_reason", 400, "There was a problem with the request."),
    ],
)
async def test_a_known_answer_is_had_by_its_name(
    hubspot: httpx.AsyncClient, name: str, status: int, words: str
) -> None:
    await fail(hubspot, {"kind": "known", "name": name})

    answer = await upsert(hubspot, "ada")

    assert name in KNOWN
    assert (answer.status_code, words in answer.text) == (status, True)
    assert answer.headers["Content-Type"].startswith("text/html") == ("page" in name or "moved" in name)
    assert ("Location" in answer.headers) == ("moved" in name)


async def test_a_redirect_leads_where_the_rule_says(hubspot: httpx.AsyncClient) -> None:
    elsewhere = "https://proxy.example.com/login"
    await fail(hubspot, {"kind": "known", "name": "moved_302", "headers": {"Location": elsewhere}})

    assert (await upsert(hubspot, "ada")).headers["Location"] == elsewhere


async def test_the_text_of_one_event_provokes_a_refusal_and_other_calls_pass(
    hubspot: httpx.AsyncClient, portal: Portal
) -> None:
    portal.event_definitions.add("won", {"label": "x", "includeDefaultProperties": True}, [])
    await fail(hubspot, {"kind": "known", "name": "firewall_page"}, match={"path": "/send", "text": "<script>"})

    def event(text: str) -> dict[str, Any]:
        return {"eventName": "pe12345_won", "email": "ada@example.com", "properties": {"hs_text": text}}

    assert (await hubspot.post(SEND, json={"inputs": [event("x")]})).status_code == 204
    assert (await hubspot.post(SEND, json={"inputs": [event("x"), event("<script>")]})).status_code == 403
    assert portal.timeline.occurrences == 1


async def test_a_limit_of_sending_events_leaves_contacts_alone(hubspot: httpx.AsyncClient) -> None:
    await fail(hubspot, {"kind": "rate_limit", "policy": "monthly"}, match={"path": "/send"})

    assert (await hubspot.post(SEND, json={"inputs": []})).json()["policyName"] == "MONTHLY"
    assert (await upsert(hubspot, "ada")).status_code == 200


GONE = {"kind": "bad_inputs", "category": "OBJECT_NOT_FOUND", "message": "Could not get some CONTACT objects."}


async def test_the_inputs_that_a_rule_names_are_errors_of_a_207(hubspot: httpx.AsyncClient, portal: Portal) -> None:
    await fail(hubspot, GONE, match={"email": "bob@example.com"}, when={"count": 1})

    answer = await upsert(hubspot, "ada", "bob")

    assert answer.status_code == 207
    [error], [result] = answer.json()["errors"], answer.json()["results"]
    assert (error["category"], error["context"]["objectWriteTraceId"]) == ("OBJECT_NOT_FOUND", ["bob"])
    assert (result["objectWriteTraceId"], len(portal.contacts)) == ("ada", 1)
    assert (await upsert(hubspot, "ada", "bob")).status_code == 200


@pytest.mark.parametrize("status", [400, 409])
async def test_without_trace_ids_such_an_input_takes_the_call_down(
    hubspot: httpx.AsyncClient, portal: Portal, status: int
) -> None:
    await fail(hubspot, GONE | {"status": status}, match={"email": "bob@example.com"})

    answer = await upsert(hubspot, "ada", "bob", traced=False)

    assert (answer.status_code, answer.json()["category"], len(portal.contacts)) == (status, "OBJECT_NOT_FOUND", 0)


async def test_a_property_that_somebody_gave_another_type_refuses_the_values_of_the_old_one(
    hubspot: httpx.AsyncClient,
) -> None:
    await hubspot.put("/_simulator/properties/phone", json={"type": "datetime", "fieldType": "date"})

    answer = await upsert(hubspot, "ada", traced=False)
    await hubspot.put("/_simulator/properties/phone", json={"type": "bool", "fieldType": "booleancheckbox"})
    refused = await upsert(hubspot, "ada", traced=False)

    assert answer.status_code == 200, "a time in milliseconds is a number"
    assert refused.json()["errors"][0]["code"] == "INVALID_OPTION"
