"""HubSpot's exports of contacts, as the simulator has them."""

import csv
import zipfile
from io import BytesIO, StringIO
from typing import Any

import httpx
import pytest

from sandbox.hubspot.http.auth import CONTACTS_READ
from sandbox.hubspot.records.portal import Portal
from tests.samples import TOKEN

EXPORTS = "/crm/exports/2026-03/export"
ASKED = {
    "exportType": "VIEW",
    "exportName": "audit",
    "format": "CSV",
    "language": "EN",
    "objectType": "CONTACT",
    "objectProperties": ["hs_object_id", "email", "lifecyclestage"],
    "associatedObjectType": [],
    "includeLabeledAssociations": False,
    "includePrimaryDisplayPropertyForAssociatedObjects": False,
    "overrideAssociatedObjectsPerDefinitionPerRowLimit": False,
    "exportInternalValuesOptions": ["NAMES", "VALUES"],
}


@pytest.fixture
def portal(portal: Portal) -> Portal:
    for email in ("ada@example.com", "grace@example.com"):
        portal.contacts.create({"email": email, "phone": "1"})
    return portal


async def begin(hubspot: httpx.AsyncClient, start: str = EXPORTS, **changes: Any) -> str:
    answer = await hubspot.post(f"{start}/async", json=ASKED | changes)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


async def task(hubspot: httpx.AsyncClient, export: str, start: str = EXPORTS) -> dict[str, Any]:
    return dict((await hubspot.get(f"{start}/async/tasks/{export}/status")).json())


@pytest.mark.parametrize("start", ["/crm/v3/exports/export", EXPORTS, "/crm/exports/2026-09/export"])
async def test_an_export_is_a_file_of_all_contacts(hubspot: httpx.AsyncClient, portal: Portal, start: str) -> None:
    portal.contacts.archive(portal.contacts.create({"email": "gone@example.com"}))
    export = await begin(hubspot, start)
    done = await task(hubspot, export, start)
    file = await hubspot.get(done["result"])

    assert (done["status"], done["startedAt"] <= done["completedAt"]) == ("COMPLETE", True)
    assert file.headers["Content-Type"].startswith("text/csv")
    rows = list(csv.reader(StringIO(file.text)))
    assert rows[0] == ["Record ID", "hs_object_id", "email", "lifecyclestage"]
    assert [row[2] for row in rows[1:]] == ["ada@example.com", "grace@example.com"]
    details = (await hubspot.get(f"{start}/{export}")).json()
    assert (details["exportState"], details["recordCount"], details["exportName"]) == ("DONE", 2, "audit")


async def test_headers_are_labels_unless_names_are_asked_for(hubspot: httpx.AsyncClient) -> None:
    done = await task(hubspot, await begin(hubspot, exportInternalValuesOptions=[], objectProperties=["email"]))

    assert (await hubspot.get(done["result"])).text.splitlines()[0] == "Record ID,Email"


async def test_an_export_has_the_contacts_that_match(hubspot: httpx.AsyncClient) -> None:
    condition = {"propertyName": "email", "operator": "EQ", "value": "ada@example.com"}
    search = {"filterGroups": [{"filters": [condition]}]}
    done = await task(hubspot, await begin(hubspot, publicCrmSearchRequest=search))

    assert len((await hubspot.get(done["result"])).text.splitlines()) == 2


async def test_exports_run_one_after_the_other_and_are_snapshots(hubspot: httpx.AsyncClient, portal: Portal) -> None:
    portal.change_settings(export_s=60)
    first, second = await begin(hubspot), await begin(hubspot)
    assert [(await task(hubspot, export))["status"] for export in (first, second)] == ["PROCESSING", "PENDING"]
    portal.contacts.create({"email": "mary@example.com"})
    await hubspot.post("/_simulator/clock/advance", json={"seconds": 61})
    assert [(await task(hubspot, export))["status"] for export in (first, second)] == ["COMPLETE", "PROCESSING"]
    await hubspot.post("/_simulator/clock/advance", json={"seconds": 61})

    files = [(await hubspot.get((await task(hubspot, export))["result"])).text for export in (first, second)]
    assert [len(file.splitlines()) for file in files] == [3, 4]


async def test_a_link_works_for_five_minutes_and_without_a_token(hubspot: httpx.AsyncClient) -> None:
    export = await begin(hubspot)
    link = (await task(hubspot, export))["result"]

    assert (await hubspot.get(link, headers={"Authorization": ""})).status_code == 200
    await hubspot.post("/_simulator/clock/advance", json={"seconds": 301})
    assert (await hubspot.get(link)).status_code == 403
    assert (await hubspot.get((await task(hubspot, export))["result"])).status_code == 200


async def test_a_large_file_is_zipped(hubspot: httpx.AsyncClient, portal: Portal) -> None:
    portal.contacts.create({"email": "mary@example.com", "company": "x" * 2_200_000})
    done = await task(hubspot, await begin(hubspot, objectProperties=["email", "company"]))
    file = await hubspot.get(done["result"])

    assert file.headers["Content-Type"] == "application/zip"
    with zipfile.ZipFile(BytesIO(file.content)) as archive:
        assert archive.namelist() == ["audit.csv"]
        assert len(archive.read("audit.csv")) > 2_200_000


async def test_thirty_exports_begin_in_a_rolling_day(hubspot: httpx.AsyncClient) -> None:
    for _ in range(30):
        await begin(hubspot)

    assert (await hubspot.post(f"{EXPORTS}/async", json=ASKED)).status_code == 429
    await hubspot.post("/_simulator/clock/advance", json={"seconds": 24 * 3600})
    await begin(hubspot)


async def test_an_export_needs_its_scope(hubspot: httpx.AsyncClient, portal: Portal) -> None:
    portal.tokens.add(TOKEN, (CONTACTS_READ,))

    refused = await hubspot.post(f"{EXPORTS}/async", json=ASKED)

    assert refused.status_code == 403
    assert refused.json()["errors"][0]["context"]["requiredGranularScopes"] == ["crm.export"]


@pytest.mark.parametrize(
    "changes", [{"exportType": None}, {"objectProperties": []}, {"format": "XLSX"}, {"objectType": "DEAL"}]
)
async def test_what_is_not_exported_is_refused(hubspot: httpx.AsyncClient, changes: dict[str, Any]) -> None:
    assert (await hubspot.post(f"{EXPORTS}/async", json=ASKED | changes)).status_code == 400
    assert (await hubspot.get(f"{EXPORTS}/async/tasks/1/status")).status_code == 404
