"""The page of a contact, as whoever is signed in gets it."""

import re
from datetime import UTC, datetime
from html import unescape
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from console.contacts.index import Index, Reached
from console.contacts.index_rows import rows_of
from tests.console.server import Visitor, application
from tests.kafka.kafka_records import TOPICS, KafkaRecord, event_record, letter_record, receipt_record
from tests.pipeline import OPERATOR_TOKEN, READER_TOKEN
from tests.samples import EMAIL, envelope

DELIVERED = event_record("driver_signed_up", sequence=1)
REFUSED = event_record("nova_earned", sequence=2)
WAITING = event_record("nova_redeemed", sequence=4)
RECORDS = (
    DELIVERED,
    REFUSED,
    WAITING,
    receipt_record(DELIVERED, contact_id="4711", properties=("nerava_role", "nerava_signup_date")),
    receipt_record(REFUSED, "dead_lettered", offset=1),
    letter_record(REFUSED, "rejected_by_hubspot", '400: <script>alert("no")</script>'),
)


def fill(folder: Path, *records: KafkaRecord) -> None:
    index = Index(folder)
    index.open()
    last = {(each.topic, each.partition): each for each in records}
    index.add(rows_of(records, TOPICS), {key: Reached(0, each.offset + 1, 0) for key, each in last.items()})
    index.close()


async def page_of(folder: Path, asked: str, **more: Any) -> str:
    visitor = Visitor(application(folder))
    await visitor.sign_in(OPERATOR_TOKEN)
    answer = await visitor.http.get("/contacts", params={"q": asked, **more})
    assert answer.status_code == 200, answer.text
    return answer.text


def words(page: str) -> str:
    """Return what a person reads."""
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", page)).split())


async def test_without_a_search_it_says_what_can_be_searched_for(tmp_path: Path) -> None:
    assert "Search above by email, in any case, or by external id" in await page_of(tmp_path, "")


@pytest.mark.parametrize("asked", [EMAIL, "Ada@Example.COM", "  ada@example.com ", "usr_1"])
async def test_a_contact_is_found_by_email_in_any_case_and_by_external_id(tmp_path: Path, asked: str) -> None:
    fill(tmp_path, *RECORDS)

    page = await page_of(tmp_path, asked)

    assert f"<h1>{EMAIL}</h1>" in page
    assert re.findall(r'data-sequence="(\d*)" data-state="(\w+)"', page) == [
        ("4", "unknown"),
        ("2", "dead_letter"),
        ("1", "delivered"),
    ]


async def test_each_event_says_what_became_of_it(tmp_path: Path) -> None:
    fill(tmp_path, *RECORDS)

    page = await page_of(tmp_path, EMAIL)
    said = words(page)

    assert re.search(r" 1 [\d:]+ UTC Signed up delivered HubSpot has taken it\. committed", said)
    assert "published 2026-11-24 03:00:01.000 UTC delivered 2026-11-24 03:01:00.000 UTC attempts 1" in said
    assert "It changed 2 properties property value nerava_role driver nerava_signup_date 2026-11-24" in said
    assert "Nova earned +5.00 Nova dead letter, open It was set aside: it has not taken effect." in said
    assert "rejected_by_hubspot 400:" in said
    assert "What to do: the detail is HubSpot's answer; provision names what the portal lacks." in said
    assert 'href="/dead-letters/0-0"' in page
    assert "3: missing not on Kafka; the outbox is not shown" in said
    assert (
        "Nova redeemed \N{MINUS SIGN}1.00 Nova may have ended It is on Kafka. It may have ended: Kafka does not say."
        in said
    )
    assert "Behind" not in said
    assert "DATABASE_URL is not set" in said


async def test_what_hubspot_said_is_shown_and_never_run(tmp_path: Path) -> None:
    fill(tmp_path, *RECORDS)
    page = await page_of(tmp_path, EMAIL)
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page


async def test_nothing_found_says_what_was_looked_at_and_how_far_the_index_is(tmp_path: Path) -> None:
    fill(tmp_path, *RECORDS)

    said = words(await page_of(tmp_path, "nobody@example.com"))

    assert "No contact was found for nobody@example.com" in said
    assert "the index of Kafka's records" in said
    assert "The index does not know yet how many records it lacks" in said
    assert "The outbox is not shown: DATABASE_URL is not set" in said


async def test_without_an_index_the_page_says_so(tmp_path: Path) -> None:
    said = words(await page_of(tmp_path, EMAIL))
    assert "Kafka's records are not shown: the index can't be read" in said
    assert "Neither Kafka nor the outbox could be searched" in said
    assert "the index of Kafka's records" not in said


async def test_a_database_that_does_not_answer_is_said_and_the_rest_is_shown(tmp_path: Path) -> None:
    fill(tmp_path, *RECORDS)
    visitor = Visitor(application(tmp_path, {"database_url": "postgresql://nobody:secret@127.0.0.1:1/none"}))
    await visitor.sign_in(OPERATOR_TOKEN)

    page = (await visitor.http.get("/contacts", params={"q": EMAIL})).text

    assert "The outbox is not shown: the database can't be read (OperationalError)" in words(page)
    assert 'data-state="delivered"' in page
    assert "secret" not in page


async def test_an_external_id_of_several_contacts_lets_choose(tmp_path: Path) -> None:
    fill(tmp_path, event_record(), event_record(offset=1, email="grace@example.com"))

    page = await page_of(tmp_path, "usr_1")

    assert "Several contacts have" in page
    assert 'href="/contacts?q=grace%40example.com"' in page


async def test_a_contact_that_moved_leads_to_its_other_emails(tmp_path: Path) -> None:
    made = envelope("merchant_contact_updated", 1, "new@example.com")
    made["payload"] = {**made["payload"], "email": "new@example.com", "previous_email": "Old@example.com"}
    moved = event_record("merchant_contact_updated", 1, email="new@example.com", made=made)
    fill(tmp_path, event_record(email="old@example.com"), moved)

    assert "previous email old@example.com" in words(await page_of(tmp_path, "new@example.com"))
    assert "newer email new@example.com" in words(await page_of(tmp_path, "old@example.com"))


async def test_a_long_history_leads_to_its_earlier_parts(tmp_path: Path) -> None:
    fill(tmp_path, *[event_record(sequence=number, offset=number) for number in range(1, 61)])

    page = await page_of(tmp_path, EMAIL)
    assert 'href="/contacts?q=ada%40example.com&amp;before=11"' in page
    assert page.count("data-sequence") == 50

    earlier = await page_of(tmp_path, EMAIL, before=11)
    assert re.findall(r'data-sequence="(\d*)"', earlier) == [str(number) for number in range(10, 0, -1)]
    assert "Newest events" in earlier


async def test_an_event_of_a_long_history_has_an_address_at_which_its_page_has_it(tmp_path: Path) -> None:
    fill(tmp_path, *[event_record(sequence=number, offset=number) for number in range(1, 101)])
    page = await page_of(tmp_path, EMAIL, before=51)
    assert 'href="/contacts?q=ada%40example.com&amp;before=46#event-20"' in page

    assert 'id="event-20"' in await page_of(tmp_path, EMAIL, before=46)


async def test_events_are_under_the_days_on_which_they_were_committed(tmp_path: Path) -> None:
    days = [datetime(2026, 11, day, hour, tzinfo=UTC) for day, hour in ((22, 9), (22, 23), (24, 1))]
    ids = [str(UUID(int=(round(at.timestamp() * 1000) << 80) | (7 << 76) | (2 << 62))) for at in days]
    fill(
        tmp_path,
        *[event_record(sequence=n, offset=n, made=envelope(sequence=n, id=each)) for n, each in enumerate(ids, 1)],
    )

    page = await page_of(tmp_path, EMAIL)

    shown = re.findall(r'<h3><time [^>]*>(\S+) UTC</time></h3>|data-sequence="(\d)"', page)
    assert [day or number for day, number in shown] == ["2026-11-24", "3", "2026-11-22", "2", "1"]


async def test_the_filters_lead_to_the_events_of_a_state_and_of_a_type(tmp_path: Path) -> None:
    fill(tmp_path, *RECORDS)
    page = await page_of(tmp_path, EMAIL)
    assert (
        'href="/contacts?q=ada%40example.com&amp;state=dead_letter">Dead letters <span class="count">1</span>' in page
    )
    assert "No receipt" not in page

    dead = await page_of(tmp_path, EMAIL, state="dead_letter")
    assert re.findall(r'data-sequence="(\d*)"', dead) == ["2"]
    assert "data-hole" not in dead
    assert 'data-hole="3-3"' in await page_of(tmp_path, EMAIL, state="missing")
    assert 'href="/contacts?q=ada%40example.com&amp;type=nova_earned&amp;state=dead_letter"' in dead

    none = await page_of(tmp_path, EMAIL, state="dead_letter", type="nova_redeemed")
    assert "None of the contact's 3 events is of this state and type. Show all" in words(none)


async def test_the_balance_and_the_totals_are_drawn_and_said(tmp_path: Path) -> None:
    fill(tmp_path, *RECORDS)

    said = words(await page_of(tmp_path, EMAIL))

    assert "The balance is 4.00 Nova, and was 4.00 Nova to 5.00 Nova; 20.00 Nova earned, 0.00 Nova redeemed." in said


async def test_records_that_nobody_can_read_are_shown_as_they_are(tmp_path: Path) -> None:
    topic = TOPICS.of("nova_earned")
    fill(
        tmp_path,
        KafkaRecord(topic, 0, 0, 5, EMAIL.encode(), b'{"a": "\\ud800"}'),
        KafkaRecord(topic, 0, 1, 5, EMAIL.encode(), b"\xff{"),
        KafkaRecord(topic, 0, 2, 5, EMAIL.encode(), b"x" * 50_000),
    )

    page = await page_of(tmp_path, EMAIL)

    assert page.count("data-sequence") == 3
    assert "(50,000 characters)" in page


@pytest.mark.parametrize(
    "parameters", [{"before": "0"}, {"before": "x"}, {"before": str(2**63)}, {"q": "x" * 2_000}, {"state": "x"}]
)
async def test_what_no_page_of_ours_asks_is_refused(tmp_path: Path, parameters: dict[str, str]) -> None:
    visitor = Visitor(application(tmp_path))
    await visitor.sign_in(OPERATOR_TOKEN)

    answer = await visitor.http.get("/contacts", params={"q": EMAIL, **parameters})

    assert answer.status_code == 422


async def test_hubspot_is_asked_for_no_one_but_contacts(tmp_path: Path) -> None:
    visitor = Visitor(application(tmp_path))
    await visitor.sign_in(OPERATOR_TOKEN)

    assert (await visitor.http.get("/contacts/present", params={"key": "nobody"})).status_code == 400


async def test_without_a_token_hubspot_is_not_asked(tmp_path: Path) -> None:
    fill(tmp_path, *RECORDS)
    visitor = Visitor(application(tmp_path))
    await visitor.sign_in(OPERATOR_TOKEN)

    fragment = await visitor.http.get("/contacts/present", params={"key": EMAIL})

    assert "HUBSPOT_PRIVATE_APP_TOKEN is not set" in fragment.text
    page = await page_of(tmp_path, EMAIL)
    assert 'hx-get="/contacts' not in page
    assert "HubSpot is not asked: HUBSPOT_PRIVATE_APP_TOKEN is not set for the console" in words(page)


@pytest.mark.parametrize(("token", "buttons"), [(OPERATOR_TOKEN, 1), (READER_TOKEN, 0)])
async def test_only_who_may_act_is_offered_a_resync(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, token: str, buttons: int
) -> None:
    monkeypatch.setenv("HUBSPOT_PRIVATE_APP_TOKEN", "a-token")
    fill(tmp_path, *RECORDS)
    visitor = Visitor(application(tmp_path))
    await visitor.sign_in(token)

    page = (await visitor.http.get("/contacts", params={"q": EMAIL})).text

    assert page.count("Resync: dry run") == buttons
