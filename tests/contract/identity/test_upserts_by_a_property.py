"""Upserts by HUBSPOT_ID_PROPERTY: each contact is written once, however HubSpot has it, and none is made twice."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import get_args

import httpx
import pytest

from hubspot_consumer.delivery.contact_writer import Again
from hubspot_consumer.hubspot.outcomes import Delivered, Halt, RetryLater
from hubspot_consumer.hubspot.requests import KnownContact
from hubspot_consumer.hubspot.schema import EMAIL
from sandbox.hubspot.records.portal import Portal
from sandbox.hubspot.settings import ConflictForm
from tests.contract.identity.writers import ADA, GRACE, LENA, Writer, contact_of, portal_with, upsert
from tests.samples import ID_PROPERTY

TOTAL, BALANCE = "nerava_total_nova_earned_cents", "nerava_nova_balance_cents"


@pytest.fixture
async def portal() -> Portal:
    return await portal_with()


@pytest.fixture
async def writer(portal: Portal) -> AsyncIterator[Writer]:
    writer = Writer(portal)
    yield writer
    await writer.client.close()


def values(portal: Portal, email: str, *names: str) -> list[str]:
    return [contact_of(portal, email).properties.get(name, "") for name in names]


async def test_a_new_contact_has_its_email_and_the_property_however_it_is_made(portal: Portal, writer: Writer) -> None:
    created = await writer.client.create([upsert(ADA)])
    upserted = await writer.write(upsert(GRACE))

    assert [type(outcome) for outcome in (*created.outcomes.values(), *upserted.values())] == [Delivered, Delivered]
    assert [values(portal, key, EMAIL, ID_PROPERTY) for key in (ADA, GRACE)] == [[ADA, ADA], [GRACE, GRACE]]


# The probe tells a portal that has other words for a conflict.
@pytest.mark.parametrize("conflict", sorted({*get_args(ConflictForm)} - {"other_words"}))
@pytest.mark.parametrize("partial_failure", ["multi_status", "refuse_call"])
@pytest.mark.parametrize("result_trace_ids", ["all", "none"])
async def test_contacts_made_under_email_get_the_property_with_their_next_write_beside_others(
    portal: Portal, writer: Writer, conflict: str, partial_failure: str, result_trace_ids: str
) -> None:
    ids = [portal.contacts.create({"email": key, BALANCE: "7"}).id for key in (ADA, GRACE)]
    portal.change_settings(conflict=conflict, partial_failure=partial_failure, result_trace_ids=result_trace_ids)

    first = await writer.write(upsert(ADA), upsert(GRACE), upsert(LENA))
    calls = portal.log.total
    second = await writer.write(upsert(ADA, sequence=2), upsert(GRACE, sequence=2), upsert(LENA, sequence=2))

    for written in (first, second):
        assert [written[key] for key in (ADA, GRACE)] == [Delivered(contact_id) for contact_id in ids]
        assert isinstance(written[LENA], Delivered)
    for key in (ADA, GRACE, LENA):
        assert values(portal, key, EMAIL, ID_PROPERTY, "nerava_event_sequence") == [key, key, "2"]
    assert portal.log.total == calls + 1, "from then on one call is enough"


@pytest.mark.parametrize("changes", [{"upsert_of_taken_email": "write_holder"}, {"upserted_id": "left_out"}])
async def test_where_hubspot_leaves_the_property_out_each_contact_is_written_and_none_is_made_twice(
    portal: Portal, writer: Writer, changes: dict[str, str]
) -> None:
    portal.change_settings(**changes)
    ada = portal.contacts.create({"email": ADA})

    written = [await writer.write(upsert(ADA, sequence=at), upsert(LENA, sequence=at)) for at in (1, 2)]

    lena = contact_of(portal, LENA)
    assert written == [{ADA: Delivered(ada.id), LENA: Delivered(lena.id)}] * 2
    assert [values(portal, key, "nerava_event_sequence") for key in (ADA, LENA)] == [["2"], ["2"]]
    assert len(portal.contacts) == 2


@pytest.mark.parametrize("switch", ["refuse", "blank"])
async def test_what_an_upsert_leaves_out_is_kept_also_where_hubspot_keeps_nothing_by_email(
    portal: Portal, writer: Writer, switch: str
) -> None:
    portal.change_settings(partial_upsert_by_email=switch)
    contact_id = portal.contacts.create({"email": ADA, "phone": "1"}).id

    written = [await writer.write(upsert(ADA, sequence=sequence)) for sequence in (1, 2)]

    assert written == [{ADA: Delivered(contact_id)}] * 2
    assert values(portal, ADA, "phone", "nerava_event_sequence") == ["1", "2"]


async def test_a_merged_contact_is_found_by_all_its_keys_and_keeps_the_primary_email_of_people(
    portal: Portal, writer: Writer
) -> None:
    merged = portal.contacts.create({"email": ADA, "hs_additional_emails": GRACE})

    for sequence in range(1, 4):
        for key in (GRACE, ADA):
            outcome = (await writer.write(upsert(key, sequence=sequence)))[key]
            assert outcome == Delivered(merged.id)
            assert merged.properties["nerava_contact_key"] == key

    assert merged.emails() == [ADA, GRACE]
    written = [write.properties[ID_PROPERTY] for write in merged.writes if ID_PROPERTY in write.properties]
    assert written == [ADA], "the property does not go to and fro"
    assert len(portal.contacts) == 1


async def test_two_keys_of_one_contact_in_one_call_are_written_one_after_the_other(
    portal: Portal, writer: Writer
) -> None:
    merged = portal.contacts.create({"email": ADA, "hs_additional_emails": GRACE})

    outcomes = await writer.write(upsert(ADA), upsert(GRACE))
    again = [key for key, outcome in outcomes.items() if isinstance(outcome, Again)]

    assert (len(again), outcomes[next(key for key in outcomes if key not in again)]) == (1, Delivered(merged.id))
    assert await writer.write(upsert(again[0])) == {again[0]: Delivered(merged.id)}


async def test_a_contact_whose_email_a_person_changed_is_not_made_anew_and_its_sequence_is_known(
    portal: Portal, writer: Writer
) -> None:
    await writer.write(upsert(ADA, sequence=7))
    contact = contact_of(portal, ADA)
    portal.contacts.update(contact, {"email": "countess@example.com"})

    assert await writer.client.known_contacts([ADA]) == {ADA: KnownContact(contact.id, 7)}
    assert await writer.write(upsert(ADA, sequence=8)) == {ADA: Delivered(contact.id)}
    assert (contact.email, len(portal.contacts)) == (ADA, 1)


async def test_where_another_contact_has_the_email_the_one_with_the_property_is_written_and_keeps_its_own(
    portal: Portal, writer: Writer
) -> None:
    await writer.write(upsert(ADA))
    ours = contact_of(portal, ADA)
    portal.contacts.update(ours, {"email": "countess@example.com"})
    other = portal.contacts.create({"email": ADA})

    assert await writer.write(upsert(ADA, sequence=2)) == {ADA: Delivered(ours.id)}
    assert (ours.email, ours.properties["nerava_event_sequence"]) == ("countess@example.com", "2")
    assert "nerava_event_sequence" not in other.properties


async def test_a_move_changes_email_and_property_together_and_keeps_hubspots_id(portal: Portal, writer: Writer) -> None:
    await writer.write(upsert(ADA))
    contact = contact_of(portal, ADA)

    assert await writer.client.move(contact.id, GRACE) is None

    assert (contact.email, contact.properties[ID_PROPERTY]) == (GRACE, GRACE)
    assert contact.writes[-1].properties.keys() == {EMAIL, ID_PROPERTY}
    assert await writer.write(upsert(GRACE)) == {GRACE: Delivered(contact.id)}


async def test_a_contact_that_a_worker_with_the_former_setting_moved_is_found_by_its_email(
    portal: Portal, writer: Writer
) -> None:
    await writer.write(upsert(ADA))
    contact = contact_of(portal, ADA)
    assert await Writer(portal, EMAIL).client.move(contact.id, GRACE) is None

    known = await writer.client.known_contacts([GRACE])

    assert known == {GRACE: KnownContact(contact.id, 0, identity={ID_PROPERTY: GRACE})}
    assert await writer.write(upsert(GRACE)) == {GRACE: Delivered(contact.id)}
    assert contact.properties[ID_PROPERTY] == GRACE


@pytest.mark.parametrize("first", [EMAIL, ID_PROPERTY])
async def test_two_workers_with_different_settings_make_one_contact(portal: Portal, first: str) -> None:
    """During a rolling change; both calls are with HubSpot at once."""
    writers = [Writer(portal, name) for name in sorted((EMAIL, ID_PROPERTY), key=lambda name: name != first)]

    outcomes = await asyncio.gather(*(writer.write(upsert(ADA)) for writer in writers))

    assert [type(outcome[ADA]) for outcome in outcomes] == [Delivered, Delivered]
    assert len(portal.contacts) == 1
    await Writer(portal).write(upsert(ADA, sequence=2))
    assert values(portal, ADA, ID_PROPERTY, "nerava_event_sequence") == [ADA, "2"]


async def test_a_contact_that_is_deleted_before_it_is_updated_is_tried_again_and_made_anew(
    portal: Portal, writer: Writer
) -> None:
    contact = portal.contacts.create({"email": ADA})

    async def deleted(request: httpx.Request) -> None:
        if request.url.path.endswith("/batch/update"):
            portal.contacts.delete(contact)

    writer.way.before = deleted

    assert isinstance((await writer.write(upsert(ADA)))[ADA], RetryLater)
    assert isinstance((await writer.write(upsert(ADA)))[ADA], Delivered)
    assert values(portal, ADA, ID_PROPERTY) == [ADA]


async def test_a_contact_that_another_writer_makes_and_deletes_meanwhile_is_tried_again(
    portal: Portal, writer: Writer
) -> None:
    contact = portal.contacts.create({"email": ADA})

    async def deleted(request: httpx.Request) -> None:
        if request.url.path.endswith("/batch/read") and json.loads(request.content)["idProperty"] == EMAIL:
            portal.contacts.delete(contact)

    writer.way.before = deleted

    outcome = (await writer.write(upsert(ADA)))[ADA]

    assert isinstance(outcome, Again)
    assert outcome.conflict


async def test_an_outage_while_a_contact_is_looked_for_is_waited_out(portal: Portal, writer: Writer) -> None:
    portal.contacts.create({"email": ADA})

    async def away(request: httpx.Request) -> None:
        if request.url.path.endswith("/batch/read"):
            raise httpx.ConnectError("away", request=request)

    writer.way.before = away

    outcome = (await writer.write(upsert(ADA)))[ADA]

    assert isinstance(outcome, RetryLater)
    assert outcome.outage


@pytest.mark.parametrize("known", ["lacking", "not unique"])
async def test_a_portal_without_the_property_halts_and_rejects_no_event(known: str) -> None:
    portal = await portal_with(EMAIL)
    if known == "not unique":
        portal.schema.add({**portal.schema.properties["phone"].definition, "name": ID_PROPERTY})
    writer = Writer(portal)

    outcomes = await writer.write(*(upsert(key) for key in (ADA, GRACE, LENA)))
    look_up = await writer.client.known_contacts([ADA])

    for refusal in (*outcomes.values(), look_up):
        assert isinstance(refusal, Halt)
        assert (refusal.reason, "HUBSPOT_ID_PROPERTY" in refusal.detail) == ("portal_not_provisioned", True)
    assert writer.breaker.halted is not None


async def test_a_property_that_hubspot_says_does_not_exist_halts_too(portal: Portal, writer: Writer) -> None:
    words = {"isValid": False, "message": "no", "error": "PROPERTY_DOESNT_EXIST", "name": ID_PROPERTY}
    refusal = {"category": "VALIDATION_ERROR", "message": f"Property values were not valid: {json.dumps([words])}"}
    body = httpx.ByteStream(json.dumps(refusal).encode())
    transport = httpx.MockTransport(lambda _: httpx.Response(400, stream=body))
    writer.client._http._transport = transport

    outcome = (await writer.write(upsert(ADA)))[ADA]

    assert isinstance(outcome, Halt)
    assert outcome.reason == "portal_not_provisioned"


async def test_reads_are_by_the_property_and_only_those_not_found_by_email(portal: Portal, writer: Writer) -> None:
    await writer.write(upsert(ADA))
    asked: list[tuple[str, list[str]]] = []

    async def note(request: httpx.Request) -> None:
        body = json.loads(request.content)
        asked.append((body["idProperty"], [one["id"] for one in body["inputs"]]))

    portal.contacts.create({"email": GRACE})
    writer.way.before = note
    found = await writer.client.remote_contacts([ADA, GRACE, LENA], ["phone"])
    await writer.client.remote_contacts([ADA], [])

    assert isinstance(found, dict)
    assert {key: contact and contact.properties["email"] for key, contact in found.items()} == {
        ADA: ADA,
        GRACE: GRACE,
        LENA: None,
    }
    assert asked == [(ID_PROPERTY, [ADA, GRACE, LENA]), (EMAIL, [GRACE, LENA]), (ID_PROPERTY, [ADA])]
