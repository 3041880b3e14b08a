"""Records that nobody should send: none ends a process, and each is accounted for."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from hubspot_consumer.dead_letters.corrections import document_of, faults, fields_of, suggested_changes
from hubspot_consumer.dead_letters.dead_letter import dead_letters_of, read_set_aside
from hubspot_consumer.dead_letters.resolutions import Resolutions
from hubspot_consumer.gates.pause import read_pause
from hubspot_consumer.history.projection import Projector, Selection
from hubspot_consumer.history.scan import Scan
from hubspot_consumer.history.store import EventStore, Stored
from hubspot_consumer.holds.records import read_hold_record
from hubspot_consumer.hubspot.requests import RemoteContact
from hubspot_consumer.reprocessing.comparison import differences, expected_of
from tests.clock import LoopClock, run_fast
from tests.contract.delivering import Worker
from tests.contract.replaying import replayed
from tests.contract.test_delivery_property import portal_of_ours
from tests.fuzz.mangled import EVENTS_OF_A_CONTACT, records
from tests.fuzz.reading import as_read
from tests.kafka.kafka_records import TOPICS, KafkaRecord, letter_record
from tests.unit.console.test_contact_page import fill, page_of

RECORDS_OF_A_SEED = 1_000
CONTACTS_OF_A_SEED = RECORDS_OF_A_SEED // EVENTS_OF_A_CONTACT
# What `make test` runs of it; `make long` runs all, 100,000 records.
SEEDS = [0, *(pytest.param(seed, marks=pytest.mark.chaos) for seed in range(1, 100))]

pytestmark = pytest.mark.timeout(300)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_worker_accounts_for_each_record(seed: int) -> None:
    read = [as_read(each) for each in records(seed, RECORDS_OF_A_SEED)]

    receipts = run_fast(Worker(portal_of_ours(), (), seed).read(read))

    ended = Counter(f"{each.topic}-{each.partition}-{each.offset}" for each in receipts)
    assert ended == Counter(each.place for each in read)
    assert {each.outcome for each in receipts} == {"delivered", "dead_lettered"}


@pytest.mark.parametrize("seed", SEEDS)
def test_a_replay_writes_each_contact_of_which_an_event_can_be_read_and_an_audit_finds_it_as_written(
    seed: int, tmp_path: Path
) -> None:
    portal, store = portal_of_ours(), EventStore(tmp_path / "store")
    stored = scanned(store, list(records(seed, RECORDS_OF_A_SEED)))
    joined = {key for move in store.moves() for key in move}

    report = run_fast(replayed(portal, tmp_path / "run", stored, moves=store.moves()))

    refused, compared = {each.contact for each in report.refused}, 0
    for key, events in store.by_contact():
        projection, remote = Projector(Selection(), {}).project(key, events), portal.contacts.by_email(key)
        if projection.wanted and key not in refused | joined:
            assert remote is not None, key
            contact = RemoteContact(remote.id, remote.properties)
            expected = expected_of(Projector(Selection(), {}), key, [events], contact, {}).projection
            assert differences(expected, contact) == []
            compared += 1
    store.close()
    assert compared > CONTACTS_OF_A_SEED / 2


def scanned(store: EventStore, given: Sequence[KafkaRecord]) -> list[Stored]:
    """Return what a run stores of the records, by contact."""
    scan = Scan(cast("Any", None), [], store, LoopClock(), contacts=(), mends={})
    for record in given:
        scan._take_in({cast("Any", record.topic): [record]}, cast("Any", {}))
    return [event for _, events in store.by_contact() for event in events]


@pytest.mark.parametrize("seed", SEEDS)
async def test_the_page_of_a_contact_shows_its_records(seed: int, tmp_path: Path) -> None:
    given = list(records(seed, 200))
    letters = [letter_record(each, offset=number) for number, each in enumerate(given)]
    fill(tmp_path, *given, *letters)

    for contact in range(0, 40, 4):
        assert f"contact{contact}@example.com" in await page_of(tmp_path, f"contact{contact}@example.com")


@pytest.mark.parametrize("seed", SEEDS)
def test_a_dead_letter_of_each_record_can_be_explained_and_corrected(seed: int) -> None:
    for number, record in enumerate(records(seed, RECORDS_OF_A_SEED)):
        # As the dead letters' topic may have it: with headers that only look like ours.
        for odd in (letter_record(record, offset=number), record._replace(topic=TOPICS.dead_letters)):
            [letter] = dead_letters_of([read_set_aside(odd, TOPICS)], Resolutions())
            assert letter.id
            _ = (
                letter.key,
                letter.contact,
                letter.places,
                letter.reason,
                letter.detail,
                letter.failed_at,
                letter.state,
            )
            value = odd.value or b""
            _ = (faults(odd.key, value), fields_of(value), document_of(value), suggested_changes(value))


@pytest.mark.parametrize("seed", SEEDS)
def test_the_topics_of_controls_take_any_record(seed: int) -> None:
    resolutions = Resolutions()
    for record in records(seed, RECORDS_OF_A_SEED):
        resolutions.take_in(record)
        read_pause(record)
        assert read_hold_record(record.value) is None
    assert resolutions.of("0-0", 0) is None
