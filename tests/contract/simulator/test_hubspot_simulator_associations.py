"""How HubSpot tells which notes a contact has, as the simulator does."""

from typing import Any

import httpx
import pytest

from sandbox.hubspot.records.portal import Portal

BATCH_READ = "/crm/associations/2026-03/contacts/notes/batch/read"


@pytest.fixture
async def ada(hubspot: httpx.AsyncClient) -> str:
    """The id of a contact."""
    created = await hubspot.post("/crm/v3/objects/contacts", json={"properties": {"email": "ada@example.com"}})
    return str(created.json()["id"])


async def add_note(hubspot: httpx.AsyncClient, contact_id: str) -> int:
    types = [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 202}]
    body = {
        "properties": {"hs_timestamp": "2026-11-24T03:00:00Z", "hs_note_body": "x"},
        "associations": [{"to": {"id": contact_id}, "types": types}],
    }
    return int((await hubspot.post("/crm/v3/objects/notes", json=body)).json()["id"])


async def read(hubspot: httpx.AsyncClient, *inputs: dict[str, Any], path: str = BATCH_READ) -> httpx.Response:
    return await hubspot.post(path, json={"inputs": inputs})


@pytest.mark.parametrize(
    "path",
    [
        "/crm/v4/associations/contacts/notes/batch/read",
        "/crm/v4/associations/0-1/0-46/batch/read",
        BATCH_READ,
        "/crm/associations/2026-09/contact/note/batch/read",
    ],
)
async def test_a_contact_has_its_notes_as_numbers_in_the_order_of_their_creation(
    hubspot: httpx.AsyncClient, ada: str, path: str
) -> None:
    notes = [await add_note(hubspot, ada) for _ in range(3)]
    answer = await read(hubspot, {"id": ada}, path=path)

    assert (answer.status_code, answer.json()["status"]) == (200, "COMPLETE")
    [result] = answer.json()["results"]
    assert result["from"] == {"id": ada}
    assert [int(to["toObjectId"]) for to in result["to"]] == notes
    assert result["to"][0]["associationTypes"] == [{"category": "HUBSPOT_DEFINED", "typeId": 201, "label": None}]
    assert "paging" not in result


async def test_a_contact_without_notes_is_left_out_of_the_results_and_named_in_an_error(
    hubspot: httpx.AsyncClient, ada: str
) -> None:
    await add_note(hubspot, ada)
    answer = await read(hubspot, {"id": ada}, {"id": "999"})

    assert answer.status_code == 207
    assert [result["from"]["id"] for result in answer.json()["results"]] == [ada]
    assert answer.json()["errors"] == [
        {
            "status": "error",
            "category": "OBJECT_NOT_FOUND",
            "subCategory": "crm.associations.NO_ASSOCIATIONS_FOUND",
            "message": "No note is associated with contact 999.",
            "context": {"fromObjectId": ["999"], "fromObjectType": ["contact"], "toObjectType": ["note"]},
        }
    ]


async def test_a_contacts_many_notes_come_in_pages_of_five_hundred(
    hubspot: httpx.AsyncClient, portal: Portal, ada: str
) -> None:
    portal.change_settings(quota=1_000)
    notes = [await add_note(hubspot, ada) for _ in range(501)]
    [first] = (await read(hubspot, {"id": ada})).json()["results"]
    [second] = (await read(hubspot, {"id": ada, "after": first["paging"]["next"]["after"]})).json()["results"]

    assert [int(to["toObjectId"]) for to in first["to"] + second["to"]] == notes
    assert len(first["to"]) == 500
    assert "paging" not in second


@pytest.mark.parametrize("start", ["/crm/v4/objects", "/crm/objects/2026-03", "/crm/objects/2026-09"])
async def test_one_contacts_notes_come_page_by_page(hubspot: httpx.AsyncClient, ada: str, start: str) -> None:
    path = f"{start}/contacts/{ada}/associations/notes"
    empty = await hubspot.get(path)
    notes = [await add_note(hubspot, ada) for _ in range(3)]
    first = (await hubspot.get(f"{path}?limit=2")).json()
    second = (await hubspot.get(f"{path}?limit=2&after={first['paging']['next']['after']}")).json()

    assert (empty.status_code, empty.json()) == (200, {"results": []})
    assert [int(to["toObjectId"]) for to in first["results"] + second["results"]] == notes
    assert (await hubspot.get(f"{start}/contacts/999/associations/notes")).status_code == 404


async def test_a_call_asks_for_at_most_a_thousand_contacts(hubspot: httpx.AsyncClient) -> None:
    assert (await read(hubspot, *[{"id": str(number)} for number in range(1_001)])).status_code == 400


async def test_the_answers_carry_no_quota_headers_and_spend_the_day_all_the_same(
    hubspot: httpx.AsyncClient, portal: Portal
) -> None:
    answers = [await read(hubspot, {"id": "151"}), await hubspot.get("/crm/v4/objects/contacts/1/associations/notes")]

    assert not [name for answer in answers for name in answer.headers if "ratelimit" in name]
    assert portal.quota.used_today(portal.settings) == 2
