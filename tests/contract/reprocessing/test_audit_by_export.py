"""An audit by an export finds what an audit by reads finds, in a few calls; what is refused or unreadable is said."""

import asyncio
import csv
import zipfile
from collections.abc import Callable
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from hubspot_consumer.hubspot.connection import http_client
from hubspot_consumer.hubspot.exports import rows
from hubspot_consumer.hubspot.exports.calls import Exports
from hubspot_consumer.hubspot.exports.rows import ExportUnreadable, exported_contacts
from hubspot_consumer.mapping import MAPPINGS, contact_properties
from hubspot_consumer.reprocessing.snapshot import _EXPORTED
from sandbox.hubspot.faults.faults import Fault
from sandbox.hubspot.http.auth import CONTACTS_READ
from sandbox.hubspot.records.contacts import Contacts
from sandbox.hubspot.records.portal import Portal
from schemas.contacts import ContactKey
from schemas.events import EVENT_TYPES
from tests.clock import run_fast
from tests.contract.replaying import replayed
from tests.contract.reprocessing.auditing import Audited, audited, stored
from tests.samples import TOKEN, read

CONTACTS = 120
EARNED = "nerava_total_nova_earned_cents"
SEQUENCE = "nerava_event_sequence"
EVENTS = [
    stored(f"c{contact:03}@example.com", sequence, EVENT_TYPES[(contact + sequence) % 7], 10 * contact + sequence)
    for contact in range(CONTACTS)
    for sequence in (1, 2)
]
OLD, NEW = ContactKey("old@example.com"), ContactKey("new@example.com")


@pytest.fixture
def portal(provisioned: Portal, tmp_path: Path) -> Portal:
    """A portal that holds what all events come to."""
    provisioned.contacts = Contacts(provisioned.schema, provisioned.clock)
    provisioned.exports.by_id.clear()
    provisioned.faults.rules.clear()
    provisioned.change_settings(export_s=0, export_times="utc")
    provisioned.tokens.add(TOKEN)
    run_fast(replayed(provisioned, tmp_path / "replay", EVENTS))
    return provisioned


def change(portal: Portal, contact: int, **properties: str) -> None:
    """Change a contact as people do, or as somebody's program does."""
    held = portal.contacts.by_email(f"c{contact:03}@example.com")
    assert held is not None
    portal.contacts.update(held, properties)


def remove(portal: Portal, contact: int, how: Callable[[Contacts, Any], None]) -> None:
    how(portal.contacts, portal.contacts.by_email(f"c{contact:03}@example.com"))


def plant(portal: Portal) -> set[str]:
    """Make differences of every kind; return the kinds."""
    remove(portal, 0, Contacts.archive)
    remove(portal, 1, Contacts.delete)
    change(portal, 2, **{SEQUENCE: "1"})
    change(portal, 3, **{SEQUENCE: "9"})
    change(portal, 4, nerava_external_id="")
    change(portal, 5, nerava_external_id="usr_other")
    change(portal, 6, nerava_contact_key="")
    change(portal, 7, nerava_contact_key="another@example.com")
    # The type of a property was changed, and its values with it.
    change(portal, 8, **{SEQUENCE: "two"})
    return {"missing", "stale", "ahead", "empty", "differs"}


async def both_ways(portal: Portal, folder: Path) -> tuple[Audited, Audited]:
    by_export = await audited(portal, folder, EVENTS, by_export=True)
    return by_export, await audited(portal, folder, EVENTS, by_export=False)


async def test_both_ways_find_all_that_was_planted(portal: Portal, tmp_path: Path) -> None:
    kinds = plant(portal)

    by_export, by_reads = await both_ways(portal, tmp_path)

    assert by_export.differences == by_reads.differences
    assert {each.kind for each in by_export.found} == kinds
    assert {each.contact for each in by_export.found} == {f"c{contact:03}@example.com" for contact in range(9)}
    assert (by_export.compared, by_reads.compared) == (CONTACTS, CONTACTS)
    # Only what looks wrong in the file is read, twice as by reads.
    assert (by_export.read, by_reads.read) == (9, CONTACTS)
    # Portal, begin, status, file, and two reads; beside two reads and the second look.
    assert (by_export.calls, by_reads.calls) == (6, 3)
    assert by_export.told == []


async def test_a_portal_that_is_as_it_should_be_costs_no_read(portal: Portal, tmp_path: Path) -> None:
    by_export = await audited(portal, tmp_path, EVENTS, by_export=True)

    assert (by_export.found, by_export.read, by_export.calls) == ([], 0, 4)


async def test_two_contacts_of_one_person_are_found_both_ways(portal: Portal, tmp_path: Path) -> None:
    """Which of their keys are one contact depends on what HubSpot holds now, so they are read."""
    events = [stored(OLD, 1, "nova_earned", 5_000), stored(NEW, 1, "nova_earned", 5_010), *EVENTS]
    for email in (OLD, NEW):
        portal.contacts.create({"email": email, "nerava_contact_key": email, SEQUENCE: "1"})
    by_export = await audited(portal, tmp_path, events, by_export=True, moves=[(OLD, NEW)])
    by_reads = await audited(portal, tmp_path, events, by_export=False, moves=[(OLD, NEW)])

    assert by_export.differences == by_reads.differences
    assert {each.contact for each in by_export.found} == {OLD, NEW}
    assert by_export.read == 2


def test_what_events_of_an_earlier_email_said_is_compared_too(portal: Portal, tmp_path: Path) -> None:
    moved = [stored(OLD, 1, "driver_signed_up", 5_000), stored(NEW, 1, "nova_earned", 5_010)]
    run_fast(replayed(portal, tmp_path / "moved", moved, moves=[(OLD, NEW)]))
    held = portal.contacts.by_email(NEW)
    assert held is not None
    portal.contacts.update(held, {"nerava_role": "merchant"})

    by_export, by_reads = (
        asyncio.run(audited(portal, tmp_path, [*moved, *EVENTS], by_export=by_export, moves=[(OLD, NEW)]))
        for by_export in (True, False)
    )

    assert by_export.differences == by_reads.differences == [(NEW, "differs", "nerava_role", "merchant")]


async def test_a_contact_is_found_by_an_additional_email(portal: Portal, tmp_path: Path) -> None:
    held = portal.contacts.by_email("c010@example.com")
    assert held is not None
    portal.contacts.update(held, {"hs_additional_emails": "c010@example.com", "email": "primary@example.com"})

    by_export, by_reads = await both_ways(portal, tmp_path)

    assert (by_export.differences, by_export.read) == (by_reads.differences, 0)


async def test_what_changed_after_the_snapshot_is_read_and_not_reported(
    portal: Portal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    change(portal, 20, nerava_external_id="usr_other")
    download = Exports.download

    async def and_then_mend(self: Exports, link: str, file: Any) -> None:
        await download(self, link, file)
        change(portal, 20, nerava_external_id="usr_1")

    monkeypatch.setattr(Exports, "download", and_then_mend)
    by_export = await audited(portal, tmp_path, EVENTS, by_export=True)

    assert (by_export.found, by_export.read) == ([], 1)


async def test_events_that_workers_have_not_written_at_the_snapshot_are_no_difference(
    portal: Portal, tmp_path: Path
) -> None:
    late = stored("c030@example.com", 3, "nova_earned", 9_000)
    unfinished = {(event.topic, 0): 9_000 for event in (*EVENTS, late)}

    by_export = await audited(portal, tmp_path, [*EVENTS, late], by_export=True, unfinished=unfinished)

    assert (by_export.found, by_export.read) == ([], 0)


async def test_an_event_whose_sequence_another_has_is_found_though_its_contact_is_as_it_should_be(
    portal: Portal, tmp_path: Path
) -> None:
    again = stored("c040@example.com", 2, "nova_earned", 9_000)

    by_export = await audited(portal, tmp_path, [*EVENTS, again], by_export=True)

    assert (by_export.found, by_export.read, by_export.reused) == ([], 0, 1)


async def test_times_in_the_portals_time_zone_and_in_whole_minutes_cost_no_read(portal: Portal, tmp_path: Path) -> None:
    portal.change_settings(export_times="portal", time_zone="Asia/Tokyo")
    earned = next(event.key for event in EVENTS if event.topic == "lifecycle.nova_earned")
    change(portal, int(earned[1:4]), nerava_last_nova_earned_at="2026-11-24T04:00:00Z")

    by_export, by_reads = await both_ways(portal, tmp_path)

    assert by_export.differences == by_reads.differences
    assert (len(by_export.found), by_export.read) == (1, 1)


async def test_an_export_is_waited_for(portal: Portal, tmp_path: Path) -> None:
    portal.change_settings(export_s=600)

    by_export = await audited(portal, tmp_path, EVENTS, by_export=True)

    assert (by_export.found, by_export.read) == ([], 0)
    assert by_export.calls < 40


async def without_scope(portal: Portal) -> None:
    portal.tokens.add(TOKEN, (CONTACTS_READ,))


async def over_the_limit(portal: Portal) -> None:
    for _ in range(30):
        portal.exports.add({}, lambda: (0, b""), 0)


async def too_slow(portal: Portal) -> None:
    portal.change_settings(export_s=10**5)


def answered(path: str, **answer: Any) -> Callable[[Portal], Any]:
    async def hinder(portal: Portal) -> None:
        portal.faults.add(Fault.model_validate({"match": {"path": path}, "answer": answer}))

    return hinder


@pytest.mark.parametrize(
    ("hinder", "why"),
    [
        (without_scope, "crm.export"),
        (over_the_limit, "30 exports"),
        (too_slow, "within 30 minutes"),
        (answered("/export/async", kind="status", status=200, body='{"id": "../x"}'), "has no id"),
        (answered("/tasks/", kind="status", status=200, body='{"status": "CANCELED"}'), "has cancelled"),
        (answered("/exported-files/", kind="status", status=500), "answers 500"),
        (answered("/exported-files/", kind="drop"), "did not arrive: RemoteProtocolError"),
        (answered("/exported-files/", kind="known", name="sign_in_page"), "no column `email`"),
    ],
)
async def test_without_an_export_contacts_are_read_and_why_is_said(
    portal: Portal, tmp_path: Path, hinder: Any, why: str
) -> None:
    plant(portal)
    by_reads = await audited(portal, tmp_path, EVENTS, by_export=False)
    await hinder(portal)

    by_export = await audited(portal, tmp_path, EVENTS, by_export=True)

    [line] = by_export.told
    assert line.startswith("no export: ")
    assert line.endswith("; contacts are read instead, a hundred a call")
    assert why in line
    assert (by_export.differences, by_export.read) == (by_reads.differences, CONTACTS)


def test_an_export_has_every_property_that_the_mapping_writes() -> None:
    """Else each contact with another one would be read."""
    assert {name for event_type in EVENT_TYPES for name in contact_properties(read(event_type))} <= set(_EXPORTED)
    assert len(MAPPINGS) == len(EVENT_TYPES)


def packed(*parts: str, name: str = "audit") -> bytes:
    content = BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for number, part in enumerate(parts):
            archive.writestr(f"{name}-{number}.csv", part)
    return content.getvalue()


def written(*lines: list[str]) -> str:
    text = StringIO(newline="")
    csv.writer(text).writerows(lines)
    return text.getvalue()


HEAD = ["Record ID", "email", "phone", "hs_additional_emails"]
ADA = ["1", "Ada@example.com", "", "a@example.com;b@example.com"]
GRACE = ["2", "grace@example.com", "1\n2,3", ""]


@pytest.mark.parametrize(
    "content",
    [
        written(HEAD, ADA, GRACE).encode(),
        written(HEAD, ADA, GRACE).encode("utf-8-sig"),
        packed(written(HEAD, ADA, GRACE)),
        packed(written(HEAD, ADA), written(HEAD, GRACE)),
    ],
)
def test_a_file_is_a_csv_or_a_zip_of_some(content: bytes) -> None:
    ada, grace = exported_contacts(BytesIO(content))

    assert (ada.contact_id, ada.emails) == ("1", ["ada@example.com", "a@example.com", "b@example.com"])
    assert grace.properties == {"Record ID": "2", "email": "grace@example.com", "phone": "1\n2,3"}


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "no column `email`"),
        (b"<html><body>Sign in</body></html>", "no column `email`"),
        (b"Record ID,Email\n1,a@example.com\n", "no column `email`"),
        (b"email\n\xff\xfe\n", "UnicodeDecodeError"),
        (b"PK\x03\x04 and no more", "BadZipFile"),
        (packed(written(HEAD, ADA))[:-30], "BadZipFile"),
        (b'email\n"never closed', "Error"),
        (b"email\n" + b"x," * 600_000 + b"\n", "over 1048576 characters"),
        (b'email\n"' + b"x\n" * 600_000, "Error"),
    ],
)
def test_what_is_no_file_of_contacts_says_so(content: bytes, why: str) -> None:
    with pytest.raises(ExportUnreadable, match=why):
        list(exported_contacts(BytesIO(content)))


def test_a_file_that_decodes_to_too_much_is_not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "LARGEST_DECODED", 1_000)

    with pytest.raises(ExportUnreadable, match="decodes to over 1000 bytes"):
        list(exported_contacts(BytesIO(packed(written(HEAD, *[ADA] * 1_000)))))


class Files:
    """A server of files, which remembers the headers that it was asked with."""

    def __init__(self, answers: dict[str, httpx.Response]) -> None:
        self._answers = answers
        self.asked: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        return self._answers[str(request.url)]


async def downloaded(files: Files, link: str) -> bytes:
    async with http_client("http://hubspot", lambda: SecretStr(TOKEN), httpx.MockTransport(files)) as http:
        file = BytesIO()
        await Exports(http, "/export", lambda *_: pytest.fail("no call is made")).download(link, file)
        return file.getvalue()


async def test_a_file_is_loaded_without_the_token_from_where_its_link_leads() -> None:
    files = Files(
        {
            "https://files.example.com/1": httpx.Response(302, headers={"Location": "https://cdn.example.com/2?key=3"}),
            "https://cdn.example.com/2?key=3": httpx.Response(200, stream=httpx.ByteStream(b"email\n")),
        }
    )

    assert await downloaded(files, "https://files.example.com/1") == b"email\n"
    assert all("Authorization" not in request.headers for request in files.asked)


@pytest.mark.parametrize(
    ("link", "answer", "why"),
    [
        ("http://files.example.com/1", httpx.Response(200), "none of https"),
        ("file:///etc/passwd", httpx.Response(200), "none of https"),
        ("http://hubspot.example.com/1", httpx.Response(200), "none of https"),
        ("https://files.example.com/1", httpx.Response(403), "answers 403"),
        ("https://files.example.com/1", httpx.Response(302, headers={"Location": "http://x.example.com/"}), "https"),
        ("https://files.example.com/1", httpx.Response(302, headers={"Location": "/1"}), "more than 3 times"),
        ("https://files.example.com/\0", httpx.Response(200), "InvalidURL"),
        (f"https://files.example.com/{'x' * 70_000}", httpx.Response(200), "InvalidURL"),
    ],
)
async def test_a_link_that_leads_elsewhere_is_not_followed_and_not_shown(
    link: str, answer: httpx.Response, why: str
) -> None:
    with pytest.raises(ExportUnreadable, match=why) as refused:
        await downloaded(Files({link: answer}), link)

    assert "example.com" not in str(refused.value)
