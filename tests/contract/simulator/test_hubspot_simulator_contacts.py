"""HubSpot's contacts, as the simulator has them: batches above all."""

import json
from typing import Any

import httpx
import pytest

CONTACTS = "/crm/objects/2026-03/contacts"


def upsert_input(email: str, trace: str | None = None, /, **properties: Any) -> dict[str, Any]:
    body = {"id": email, "idProperty": "email", "properties": properties}
    return body if trace is None else body | {"objectWriteTraceId": trace}


async def upsert(hubspot: httpx.AsyncClient, *inputs: dict[str, Any]) -> httpx.Response:
    return await hubspot.post(f"{CONTACTS}/batch/upsert", json={"inputs": inputs})


async def test_an_upsert_creates_then_updates_and_keeps_what_it_does_not_name(hubspot: httpx.AsyncClient) -> None:
    created = (await upsert(hubspot, upsert_input("Ada@Example.com", "t1", phone="1"))).json()
    updated = (await upsert(hubspot, upsert_input("ada@example.com", "t2", company="Engines"))).json()

    assert created["status"] == "COMPLETE"
    assert "errors" not in created
    [first], [second] = created["results"], updated["results"]
    assert (first["new"], first["objectWriteTraceId"]) == (True, "t1")
    assert first["properties"]["email"] == "ada@example.com"
    assert first["properties"]["lifecyclestage"] == "lead"
    assert first["createdAt"].endswith("Z")
    assert (second["new"], second["id"]) == (False, first["id"])
    assert isinstance(second["id"], str)
    read = await hubspot.get(f"{CONTACTS}/ada%40example.com?idProperty=email&properties=phone,company,nobody,lastname")
    properties = read.json()["properties"]
    assert (properties["phone"], properties["company"], properties["lastname"]) == ("1", "Engines", None)
    assert "nobody" not in properties


async def test_results_come_in_another_order_than_the_inputs(hubspot: httpx.AsyncClient) -> None:
    traces = [str(number) for number in range(50)]
    answer = await upsert(hubspot, *(upsert_input(f"c{trace}@example.com", trace) for trace in traces))

    returned = [result["objectWriteTraceId"] for result in answer.json()["results"]]
    assert returned != traces
    assert sorted(returned) == sorted(traces)


async def test_without_trace_ids_one_bad_input_takes_the_whole_call_down(hubspot: httpx.AsyncClient) -> None:
    answer = await upsert(hubspot, upsert_input("ada@example.com"), upsert_input("bob@example.com", missing="x"))

    assert answer.status_code == 400
    body = answer.json()
    assert body["category"] == "VALIDATION_ERROR"
    prefix, _, failures = body["message"].partition(": ")
    assert prefix == "Property values were not valid"
    assert json.loads(failures)[0]["error"] == "PROPERTY_DOESNT_EXIST"
    assert body["errors"] == [
        {
            "message": 'Property "missing" does not exist',
            "code": "PROPERTY_DOESNT_EXIST",
            "context": {"propertyName": ["missing"]},
        }
    ]
    assert body["correlationId"] == answer.headers["X-HubSpot-Correlation-Id"]
    assert (await hubspot.get("/_simulator/contacts")).json()["total"] == 0


@pytest.mark.parametrize("traces", [("t1", None), ("t1", "t1")], ids=["one lacks it", "not unique"])
async def test_trace_ids_count_only_when_every_input_has_its_own(
    hubspot: httpx.AsyncClient, traces: tuple[str, str | None]
) -> None:
    answer = await upsert(
        hubspot, upsert_input("ada@example.com", traces[0]), upsert_input("bob@example.com", traces[1], missing="x")
    )

    assert answer.status_code == 400
    assert (await hubspot.get("/_simulator/contacts")).json()["total"] == 0


async def test_with_trace_ids_the_good_inputs_are_written_and_the_bad_ones_listed(hubspot: httpx.AsyncClient) -> None:
    answer = await upsert(
        hubspot,
        upsert_input("ada@example.com", "good"),
        upsert_input("bob@example.com", "bad1", missing="x"),
        upsert_input("cy@example.con", "bad2"),
        upsert_input("dan@example.com", "bad3", missing="x"),
    )

    assert answer.status_code == 207
    body = answer.json()
    assert [result["objectWriteTraceId"] for result in body["results"]] == ["good"]
    assert body["numErrors"] == len(body["errors"]) == 2
    assert [error["context"]["objectWriteTraceId"] for error in body["errors"]] == [["bad1", "bad3"], ["bad2"]]
    assert "Email address cy@example.con is invalid" in body["errors"][1]["message"]
    assert all(set(error) == {"status", "category", "message", "context"} for error in body["errors"])
    assert (await hubspot.get("/_simulator/contacts")).json()["total"] == 1


async def test_the_same_id_twice_is_refused_in_any_case_of_letters_and_with_traces(hubspot: httpx.AsyncClient) -> None:
    answer = await upsert(hubspot, upsert_input("ada@example.com", "1"), upsert_input("ADA@example.com", "2"))

    assert answer.status_code == 400
    assert answer.json()["message"] == "Duplicate IDs found in batch input: [ada@example.com]. IDs must be unique"
    assert answer.json()["context"] == {"ids": ["ada@example.com"]}
    assert (await hubspot.get("/_simulator/contacts")).json()["total"] == 0


async def test_a_batch_has_at_most_a_hundred_inputs(hubspot: httpx.AsyncClient) -> None:
    inputs = [upsert_input(f"c{number}@example.com", str(number)) for number in range(101)]

    assert (await upsert(hubspot, *inputs)).status_code == 400
    assert (await upsert(hubspot, *inputs[:100])).status_code == 200


@pytest.mark.parametrize("body", [{"input": [upsert_input("a@example.com")]}, [upsert_input("a@example.com")], {}])
async def test_the_wrong_wrapper_is_answered_with_success_and_nothing_done(
    hubspot: httpx.AsyncClient, body: object
) -> None:
    answer = await hubspot.post(f"{CONTACTS}/batch/upsert", json=body)

    assert (answer.status_code, answer.json()["status"], answer.json()["results"]) == (200, "COMPLETE", [])
    assert (await hubspot.get("/_simulator/contacts")).json()["total"] == 0


@pytest.mark.parametrize("content", [b"", b"{", b'{"inputs": ["x"]}', b'{"inputs": [{"id": {}}]}'])
async def test_a_body_of_the_wrong_form_is_refused_without_a_category(
    hubspot: httpx.AsyncClient, content: bytes
) -> None:
    answer = await hubspot.post(f"{CONTACTS}/batch/upsert", content=content)

    assert answer.status_code == 400
    assert answer.json()["message"].startswith("Invalid input JSON on line 1")
    assert "category" not in answer.json()


async def test_an_additional_email_leads_to_the_same_contact(hubspot: httpx.AsyncClient) -> None:
    [ada] = (await upsert(hubspot, upsert_input("ada@example.com", hs_additional_emails="a@example.com"))).json()[
        "results"
    ]
    [again] = (await upsert(hubspot, upsert_input("A@example.com", phone="2"))).json()["results"]

    assert again["id"] == ada["id"]
    assert again["new"] is False
    assert again["properties"]["email"] == "ada@example.com"
    both = [upsert_input("ada@example.com", "1"), upsert_input("a@example.com", "2")]
    assert (await upsert(hubspot, *both)).status_code == 400
    await hubspot.put("/_simulator/settings", json={"same_contact_twice": "accept"})
    assert (await upsert(hubspot, *both)).status_code == 200


async def test_an_email_moves_to_a_contact_only_when_nobody_else_has_it(hubspot: httpx.AsyncClient) -> None:
    await upsert(hubspot, upsert_input("ada@example.com"), upsert_input("bob@example.com"))
    taken = await upsert(hubspot, upsert_input("ada@example.com", "t", email="bob@example.com"))
    moved = await upsert(hubspot, upsert_input("ada@example.com", "t", email="eve@example.com"))

    assert taken.status_code == 207
    [error] = taken.json()["errors"]
    assert error["category"] == "CONFLICT"
    assert error["message"] == f"Contact already exists. Existing ID: {error['context']['existingId'][0]}"
    assert moved.json()["results"][0]["properties"]["email"] == "eve@example.com"
    assert (await hubspot.get(f"{CONTACTS}/ada@example.com?idProperty=email")).status_code == 404


async def test_two_inputs_of_one_call_can_not_claim_one_email(hubspot: httpx.AsyncClient) -> None:
    answer = await upsert(
        hubspot, upsert_input("ada@example.com", "1", email="eve@example.com"), upsert_input("eve@example.com", "2")
    )

    assert answer.status_code == 207
    assert [error["category"] for error in answer.json()["errors"]] == ["CONFLICT"]
    assert (await hubspot.get("/_simulator/contacts")).json()["total"] == 1


async def test_unknown_ids_of_a_read_are_one_error_that_names_them_all(hubspot: httpx.AsyncClient) -> None:
    await upsert(hubspot, upsert_input("ada@example.com", phone="1"))
    ids = ["ADA@example.com", "x@example.com", "y@example.com"]
    body = {"idProperty": "email", "properties": ["phone"], "inputs": [{"id": email} for email in ids]}
    answer = await hubspot.post(f"{CONTACTS}/batch/read", json=body)

    assert answer.status_code == 207
    assert [result["properties"]["phone"] for result in answer.json()["results"]] == ["1"]
    [error] = answer.json()["errors"]
    assert (error["category"], error["context"]) == ("OBJECT_NOT_FOUND", {"ids": ["x@example.com", "y@example.com"]})
    assert answer.json()["numErrors"] == 1


async def test_a_batch_update_by_email_is_refused_or_changes_nothing(hubspot: httpx.AsyncClient) -> None:
    [ada] = (await upsert(hubspot, upsert_input("ada@example.com", phone="1"))).json()["results"]
    by_property = await hubspot.post(
        f"{CONTACTS}/batch/update", json={"inputs": [upsert_input("ada@example.com", phone="2")]}
    )
    plain = await hubspot.post(
        f"{CONTACTS}/batch/update", json={"inputs": [{"id": "ada@example.com", "properties": {"phone": "2"}}]}
    )
    by_id = await hubspot.post(
        f"{CONTACTS}/batch/update", json={"inputs": [{"id": ada["id"], "properties": {"phone": "3"}}]}
    )

    assert by_property.json()["message"] == "Unable to perform update by non-unique 0-1 property email"
    assert (plain.status_code, plain.json()["results"]) == (200, [])
    assert by_id.json()["results"][0]["properties"]["phone"] == "3"


async def test_creating_an_existing_contact_conflicts_and_names_it(hubspot: httpx.AsyncClient) -> None:
    created = await hubspot.post(CONTACTS, json={"properties": {"email": "ada@example.com"}})
    single = await hubspot.post(CONTACTS, json={"properties": {"email": "Ada@example.com"}})
    inputs = [{"properties": {"email": f"{name}@example.com"}, "objectWriteTraceId": name} for name in ("ada", "bob")]
    batch = await hubspot.post(f"{CONTACTS}/batch/create", json={"inputs": inputs})

    message = f"Contact already exists. Existing ID: {created.json()['id']}"
    assert (created.status_code, single.status_code, batch.status_code) == (201, 409, 207)
    assert (single.json()["category"], single.json()["message"]) == ("CONFLICT", message)
    assert batch.json()["errors"][0]["context"] == {
        "objectWriteTraceId": ["ada"],
        "existingId": [created.json()["id"]],
    }


async def test_one_contact_is_read_changed_and_archived_by_id_or_email(hubspot: httpx.AsyncClient) -> None:
    contact = (await hubspot.post(CONTACTS, json={"properties": {"email": "a+b@example.com"}})).json()
    by_email = f"{CONTACTS}/A%2Bb%40example.com?idProperty=email"
    changed = await hubspot.patch(by_email, json={"properties": {"phone": "7"}})
    nothing = await hubspot.patch(by_email, json={"properties": {}})
    read = await hubspot.get(f"{CONTACTS}/{contact['id']}?properties=phone")
    archived = await hubspot.delete(f"{CONTACTS}/{contact['id']}")
    gone = await hubspot.get(by_email)

    assert changed.json()["id"] == contact["id"]
    assert nothing.json()["message"] == "No properties found to update, please provide at least one."
    assert read.json()["properties"]["phone"] == "7"
    assert (archived.status_code, archived.content) == (204, b"")
    assert gone.status_code == 404
    assert gone.json()["message"] == "resource not found"
    assert "category" not in gone.json()


@pytest.mark.parametrize(
    ("properties", "error", "message"),
    [
        ({"hs_object_id": "1"}, "READ_ONLY_VALUE", '"hs_object_id" is a calculated property; its value cannot be set.'),
        ({"lifecyclestage": "boss"}, "INVALID_OPTION", "boss was not one of the allowed options: [subscriber, lead, "),
        ({"email": "x@example.ik"}, "INVALID_EMAIL", "Email address x@example.ik is invalid"),
    ],
)
async def test_a_value_that_is_not_taken_is_told_by_code(
    hubspot: httpx.AsyncClient, properties: dict[str, str], error: str, message: str
) -> None:
    answer = await upsert(hubspot, upsert_input("ada@example.com", **properties))

    [told] = answer.json()["errors"]
    assert (answer.status_code, told["code"]) == (400, error)
    assert told["message"].startswith(message)
