"""The present state of a contact beside HubSpot's, as the simulator holds it."""

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from console.contacts.index import Index, Reached
from console.contacts.index_rows import rows_of
from console.contacts.present import Comparison, NotCompared, PresentState
from hubspot_consumer.dead_letters.corrections import Correction
from hubspot_consumer.dead_letters.resolutions import Redriven
from hubspot_consumer.kafka.records import Partition
from hubspot_consumer.mapping import contact_properties
from hubspot_consumer.settings import Settings
from sandbox.hubspot.app import simulator_app
from sandbox.hubspot.records.portal import Portal
from sandbox.provisioned import provision
from schemas.contacts import ContactKey
from tests.clock import OwnedClock
from tests.kafka.kafka_records import BEGAN, TOPICS, KafkaRecord, event_record, letter_record, resolution_record
from tests.samples import EMAIL, PAYLOADS, PORTAL_ID, TOKEN, envelope, read

KEY = ContactKey(EMAIL)
ALL_ACKED: Mapping[Partition, int] = {(topic, 0): 1_000 for topic in TOPICS.events}
EARNED, REDEEMED = event_record("nova_earned", 1), event_record("nova_redeemed", 2)


class Question:
    """A contact at HubSpot and in the index, and the comparison of the two."""

    def __init__(self, portal: Portal, http: httpx.AsyncClient, index: Index, present: PresentState) -> None:
        self.portal = portal
        self._http = http
        self._index = index
        self._present = present

    def holds(self, *records: KafkaRecord) -> None:
        last = {(each.topic, each.partition): each for each in records}
        reached = {key: Reached(0, each.offset + 1, 0) for key, each in last.items()}
        self._index.add(rows_of(records, TOPICS), reached)

    async def write(self, properties: Mapping[str, str], email: str = EMAIL) -> None:
        """Let HubSpot hold these properties of a contact."""
        body = {"inputs": [{"id": email, "idProperty": "email", "properties": dict(properties)}]}
        path = "/crm/objects/2026-03/contacts/batch/upsert"
        (await self._http.post(path, json=body)).raise_for_status()

    async def compared(self, key: str = EMAIL, acked: Mapping[Partition, int] = ALL_ACKED) -> Comparison:
        return await self._present.compare(ContactKey(key), acked)

    async def differing(self) -> dict[str, tuple[str, str, str]]:
        compared = await self.compared()
        return {
            each.name: (each.expected, each.held, each.verdict)
            for each in compared.properties
            if each.verdict != "same"
        }


@pytest.fixture
async def question(portal: Portal, hubspot: httpx.AsyncClient, tmp_path: Path) -> AsyncIterator[Question]:
    await provision(portal)
    index = Index(tmp_path)
    index.open()
    settings = Settings(
        hubspot_private_app_token=SecretStr(TOKEN), hubspot_portal_id=PORTAL_ID, hubspot_api_base_url="http://hubspot"
    )
    present = PresentState(settings, index, OwnedClock(), httpx.ASGITransport(simulator_app(portal)))
    yield Question(portal, hubspot, index, present)
    await present.close()
    index.close()


def properties_of(*events: tuple[str, int]) -> dict[str, str]:
    made: dict[str, str] = {}
    for event_type, sequence in events:
        made |= contact_properties(read(event_type, sequence))
    return made


BOTH = properties_of(("nova_earned", 1), ("nova_redeemed", 2))


async def test_a_contact_that_is_as_its_events_say_differs_in_nothing(question: Question) -> None:
    question.holds(EARNED, REDEEMED)
    await question.write(BOTH)

    compared = await question.compared()

    assert (compared.applied, compared.projection.sequence, compared.waiting, compared.differing) == (2, 2, 0, 0)
    assert {each.name for each in compared.properties} == set(BOTH)
    assert compared.properties[0].name == "nerava_event_sequence"
    assert compared.contact_id


async def test_each_property_that_somebody_changed_is_marked(question: Question) -> None:
    question.holds(EARNED, REDEEMED)
    await question.write({**BOTH, "nerava_nova_balance_cents": "7", "nerava_last_redemption_at": ""})

    assert await question.differing() == {
        "nerava_nova_balance_cents": ("400", "7", "differs"),
        "nerava_last_redemption_at": ("2026-11-24T03:00:00.123Z", "", "empty"),
    }


async def test_a_contact_that_hubspot_lacks_is_said_to_be_missing(question: Question) -> None:
    question.holds(EARNED)

    compared = await question.compared()

    assert compared.contact_id is None
    assert compared.differing == len(compared.properties) > 0


async def test_what_the_group_has_not_finished_is_not_expected_yet(question: Question) -> None:
    question.holds(EARNED, REDEEMED)
    await question.write(properties_of(("nova_earned", 1)))

    compared = await question.compared(acked={(TOPICS.of("nova_earned"), 0): 1})

    assert (compared.applied, compared.projection.sequence, compared.waiting, compared.differing) == (1, 1, 1, 0)


async def test_what_the_group_has_finished_and_hubspot_lacks_differs(question: Question) -> None:
    question.holds(EARNED, REDEEMED)
    await question.write(properties_of(("nova_earned", 1)))

    assert (await question.differing())["nerava_event_sequence"] == ("2", "1", "differs")


async def test_a_dead_letter_is_not_expected_until_it_is_redriven(question: Question) -> None:
    letter = letter_record(REDEEMED)
    question.holds(EARNED, REDEEMED, letter)
    await question.write(properties_of(("nova_earned", 1)))
    compared = await question.compared()
    assert (compared.set_aside, compared.differing) == (1, 0)

    question.holds(resolution_record(letter, Redriven(at=BEGAN)))

    compared = await question.compared()
    assert (compared.set_aside, compared.projection.sequence) == (0, 2)
    assert compared.differing > 0


async def test_a_mended_event_that_was_redriven_is_expected_as_it_is_read_now(question: Question) -> None:
    payload = {name: each for name, each in PAYLOADS["nova_redeemed"].items() if name != "redeemed_at"}
    poisoned = event_record("nova_redeemed", 2, made=envelope("nova_redeemed", 2, payload=payload))
    letter = letter_record(poisoned, "invalid_envelope")
    mend = Correction(values={"redeemed_at": PAYLOADS["nova_redeemed"]["redeemed_at"]}, note="so")
    question.holds(EARNED, poisoned, letter, resolution_record(letter, Redriven(at=BEGAN, mend=mend)))
    await question.write(properties_of(("nova_earned", 1), ("nova_redeemed", 2)))

    compared = await question.compared()

    assert (compared.applied, compared.projection.sequence, compared.projection.unreadable, compared.differing) == (
        2,
        2,
        0,
        0,
    )


async def test_a_contact_that_moved_is_made_of_the_events_of_both_emails(question: Question) -> None:
    made = envelope("merchant_contact_updated", 1, "new@example.com")
    made["payload"] = {**made["payload"], "email": "new@example.com", "previous_email": EMAIL}
    moved = event_record("merchant_contact_updated", 1, email="new@example.com", made=made)
    question.holds(EARNED, moved)
    await question.write({"nerava_event_sequence": "1", "phone": "+1 555 0101"}, "new@example.com")

    new, old = await question.compared("new@example.com"), await question.compared()

    assert "nerava_total_nova_earned_cents" in {each.name for each in new.properties}
    assert old.contact_id is None
    assert old.moved_to == "new@example.com"


async def test_an_answer_that_is_none_is_told_in_words(question: Question) -> None:
    question.holds(EARNED)
    question.portal.tokens.revoke(TOKEN)
    with pytest.raises(NotCompared, match="HubSpot does not say: "):
        await question.compared()


def test_the_link_leads_to_the_portals_record_or_to_the_simulator(tmp_path: Path) -> None:
    def link(**changes: Any) -> str:
        return PresentState(Settings(**changes), Index(tmp_path), OwnedClock()).link("77")

    assert link(hubspot_portal_id=12) == "https://app.hubspot.com/contacts/12/record/0-1/77"
    assert link(hubspot_portal_id=12, hubspot_api_base_url="http://127.0.0.1:8090") == "http://127.0.0.1:8090/"
    assert link(hubspot_portal_id=12, hubspot_api_base_url="https://api.hubapi.com.example.com").endswith(".com/")


async def test_it_makes_one_call(question: Question) -> None:
    question.holds(EARNED, REDEEMED)
    await question.write(BOTH)
    before = question.portal.log.total
    await question.compared()
    assert question.portal.log.total == before + 1
