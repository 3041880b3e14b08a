"""Hostile records on the topics that workers, the console and commands read: each has its right outcome, or none."""

import json
from pathlib import Path
from typing import Any

import pytest

from console.contacts.index_rows import rows_of
from console.web.view import utc
from hubspot_consumer.cli.dead_letters.show import as_json, in_full, table
from hubspot_consumer.dead_letters.dead_letter import dead_letters_of, read_set_aside
from hubspot_consumer.dead_letters.resolutions import Resolutions
from hubspot_consumer.gates.circuit_breaker import CircuitBreaker
from hubspot_consumer.gates.pause import PauseControl
from hubspot_consumer.gates.suppressions import Suppressions
from hubspot_consumer.holds.hold import HoldListener
from schemas.deliveries import Receipt
from tests.clock import OwnedClock
from tests.hostile.inputs import Input, inputs_of
from tests.hostile.records import as_stored
from tests.kafka.dead_letters import AT_MS
from tests.kafka.kafka_records import TOPICS, KafkaRecord
from tests.unit.console.test_console_dead_letters import Operator
from tests.unit.console.test_contact_page import fill, page_of
from tests.workers.hold_worker import Worker

KAFKA = {"bootstrap_servers": "127.0.0.1:1"}
ALL = inputs_of("followed record")
HOLDS, CONTROLS, SUPPRESSIONS, RESOLUTIONS, RECEIPTS, LETTERS, ACTIONS = (
    [each for each in ALL if each["topic"] == topic]
    for topic in ("holds", "controls", "suppressions", "resolutions", "deliveries", "dead_letters", "actions")
)


def test_each_input_belongs_to_a_topic_that_is_read_here() -> None:
    read = (HOLDS, CONTROLS, SUPPRESSIONS, RESOLUTIONS, RECEIPTS, LETTERS, ACTIONS)
    assert sum(map(len, read)) == len(ALL)


@pytest.mark.parametrize("hostile", HOLDS, ids=str)
def test_a_hold_is_in_force_within_its_limits_and_comes_back(hostile: Input) -> None:
    clock = OwnedClock()
    worker, listener = Worker(clock), HoldListener("ours")
    record = as_stored(hostile, stored_at_ms=round(clock.now().timestamp() * 1000))

    taken = worker.holds.take_in(record)
    listener.take_in(record)

    assert taken is (hostile.outcome != "skipped")
    assert (worker.holds.report() is not None) is (hostile.outcome == "held")
    assert worker.pacing.lent <= 0.9
    clock.advance(600)
    worker.holds.expire()
    assert (worker.holds.report(), worker.pacing.lent, worker.lanes.held) == (None, 0.0, 0)


def test_many_runs_and_contacts_are_held_up_to_a_limit_and_released() -> None:
    clock = OwnedClock()
    worker, listener, taken = Worker(clock), HoldListener("ours"), []
    at_ms = round(clock.now().timestamp() * 1000)
    for number in range(1_500):
        contacts = [f"contact{number}-{one}@example.com" for one in range(300)]
        hold = {"kind": "hold", "run": f"r{number % 150}", "number": number, "command": "x", "contacts": contacts}
        value = json.dumps({**hold, "quota_share": 0.1}).encode()
        record = KafkaRecord(TOPICS.holds, 0, number, at_ms, b"r", value)
        taken.append(worker.holds.take_in(record))
        listener.take_in(record)

    report = worker.holds.report()
    assert report is not None
    assert report["contacts_held"] == 19_800
    assert taken.count(True) == 66
    assert len(listener._runs) == 150
    clock.advance(61)
    worker.holds.expire()
    assert (worker.holds.report(), worker.lanes.held) == (None, 0)


@pytest.mark.parametrize("hostile", CONTROLS, ids=str)
async def test_a_control_pauses_or_is_skipped_and_the_pause_can_be_shown_and_ended(hostile: Input) -> None:
    breaker = CircuitBreaker(OwnedClock())
    controls = PauseControl(KAFKA, TOPICS.controls, OwnedClock(), breaker)
    controls._read = True

    taken = controls._take_in(as_stored(hostile))

    assert taken is (hostile.outcome != "skipped")
    assert (breaker.paused is not None) is (hostile.outcome == "paused")
    if (paused := breaker.paused) is not None:
        assert utc(paused.since).endswith(" UTC")
        assert str(paused).isprintable()
        assert len(str(paused)) < 5_000
        assert paused.since.isoformat()
    controls._take_in(KafkaRecord(TOPICS.controls, 0, 1, 0, b"sending", None))
    assert breaker.paused is None
    await controls.stop()


@pytest.mark.parametrize("hostile", SUPPRESSIONS, ids=str)
async def test_a_suppression_is_a_hash_or_is_skipped(hostile: Input) -> None:
    suppressions = Suppressions(KAFKA, TOPICS.suppressions, OwnedClock())

    taken = suppressions._take_in(as_stored(hostile))

    assert taken is (hostile.outcome != "skipped")
    assert len(suppressions) == (hostile.outcome == "suppressed")
    await suppressions.stop()


@pytest.mark.parametrize("hostile", RESOLUTIONS, ids=str)
async def test_a_resolution_counts_or_is_skipped_and_its_dead_letter_can_be_shown(
    hostile: Input, tmp_path: Path
) -> None:
    resolutions, resolution = Resolutions(), as_stored(hostile)
    letter = as_stored(LETTERS[0], stored_at_ms=AT_MS)

    taken = resolutions.take_in(resolution)

    assert taken is (hostile.outcome != "skipped")
    assert (resolutions.of("0-0", AT_MS) is not None) is (hostile.outcome == "resolved")
    await can_be_shown(letter, resolutions, tmp_path, resolution)


@pytest.mark.parametrize("hostile", LETTERS, ids=str)
async def test_a_dead_letter_can_be_listed_and_shown(hostile: Input, tmp_path: Path) -> None:
    await can_be_shown(as_stored(hostile, stored_at_ms=AT_MS), Resolutions(), tmp_path)


async def can_be_shown(letter: KafkaRecord, resolutions: Resolutions, folder: Path, *more: KafkaRecord) -> None:
    """Show a dead letter by the commands, on its page, in the list and on its contact's page."""
    [found] = dead_letters_of([read_set_aside(letter, TOPICS)], resolutions)
    table([found])
    assert json.dumps(as_json(found)).encode()
    for line in in_full(found, letter, reveal=False):
        assert line.encode()
    operator = Operator(folder / "console")
    await operator.sign_in()
    operator.reader.show(letter, found)
    for path in ("/dead-letters?state=all", "/dead-letters?state=all&reason=x", f"/dead-letters/{found.id}"):
        page = await operator.see(path)
        assert page.status_code == 200, page.text
        assert "<script>alert" not in page.text
    fill(folder / "index", letter, *more)
    assert "<script>alert" not in await page_of(folder / "index", "hostile@example.com")


@pytest.mark.parametrize("hostile", RECEIPTS, ids=str)
async def test_a_receipt_is_indexed_or_skipped_and_its_contact_can_be_shown(hostile: Input, tmp_path: Path) -> None:
    record = as_stored(hostile)

    rows = rows_of([record], TOPICS).tables["receipts"]

    assert len(rows) == (hostile.outcome == "indexed")
    fill(tmp_path, record)
    page = await page_of(tmp_path, "hostile@example.com")
    assert "<script>alert" not in page
    assert 'href="javascript' not in page
    if (receipt := Receipt.read(record.value)) is not None:
        assert receipt.model_dump_json().encode()
        assert len(receipt.model_dump_json()) < 10_000


def test_nobody_reads_the_actions(tmp_path: Path) -> None:
    readers: dict[str, Any] = {each.topic: each for each in map(as_stored, ACTIONS)}
    assert set(readers) == {TOPICS.actions}
    with pytest.raises(KeyError):
        rows_of(map(as_stored, ACTIONS), TOPICS)
    assert not list(tmp_path.iterdir())
