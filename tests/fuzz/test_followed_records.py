"""Records of the topics that workers, the console and commands follow, changed at random: none stops a reader."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from hubspot_consumer.cli.dead_letters.show import as_json, in_full, table
from hubspot_consumer.dead_letters.dead_letter import dead_letters_of, read_set_aside
from hubspot_consumer.dead_letters.resolutions import Resolutions
from hubspot_consumer.gates.circuit_breaker import CircuitBreaker
from hubspot_consumer.gates.pause import SENDING, PauseControl
from hubspot_consumer.gates.suppressions import Suppressions
from hubspot_consumer.holds.hold import HoldListener
from tests.clock import OwnedClock
from tests.fuzz.mangled import KEYS, STAMPS, Mangler
from tests.kafka.dead_letters import AT_MS, headers
from tests.kafka.kafka_records import TOPICS, KafkaRecord
from tests.unit.console.test_console_dead_letters import Operator
from tests.unit.console.test_contact_page import fill, page_of
from tests.workers.hold_worker import Worker

RECORDS_OF_A_SEED = 500
# How many of them the pages of the console show.
SHOWN = 5
SEEDS = [0, *(pytest.param(seed, marks=pytest.mark.chaos) for seed in range(1, 50))]

KAFKA = {"bootstrap_servers": "127.0.0.1:1"}
AT = "2026-11-24T03:00:00Z"
HOLD: dict[str, Any] = {"kind": "hold", "run": "r", "number": 1, "command": "replay", "contacts": ["ada@example.com"]}
REFUSED: dict[str, Any] = {"at": AT, "run": "r", "reason": "rejected_by_hubspot", "detail": "400", "attempts": 1}
MEND = {"note": "n", "values": {"amount_cents": 5}, "unset": ["earnd_at"]}
VALID: Mapping[str, tuple[dict[str, Any], ...]] = {
    TOPICS.holds: (
        {**HOLD, "quota_share": 0.5, "for_s": 60.0},
        {"kind": "held", "run": "r", "number": 1, "worker": "w", "partitions": [0, 1]},
        {"kind": "released", "run": "r", "number": 1, "written": {"ada@example.com": {"sequence": 5}}, "touched": True},
        {"kind": "ended", "run": "r"},
    ),
    TOPICS.controls: ({"paused": True, "at": AT, "by": "ada", "note": "an import"},),
    TOPICS.suppressions: ({},),
    TOPICS.resolutions: (
        {"state": "redriven", "at": AT, "run": "r"},
        {"state": "discarded", "at": AT, "run": "r", "note": "n"},
        {"state": "dead", **REFUSED, "mend": MEND},
        {"state": "mended", **REFUSED, "mend": MEND, "failed_at": AT},
    ),
    TOPICS.deliveries: (
        {
            "event_id": "7",
            "type": "nova_earned",
            "sequence": 1,
            "outcome": "delivered",
            "at": AT,
            "attempts": 1,
            "topic": "lifecycle.nova_earned",
            "partition": 0,
            "offset": 0,
            "published_at": AT,
            "contact_id": "1",
            "properties": ["nerava_role"],
            "reason": None,
            "detail": None,
        },
    ),
}


def mangled(topic: str, seed: int, at_ms: int = AT_MS) -> Iterator[KafkaRecord]:
    """Yield records of *topic* by a seed; one in five has its valid key and time."""
    mangler = Mangler(seed)
    key = {TOPICS.controls: SENDING, TOPICS.resolutions: b"0-0", TOPICS.suppressions: b"a" * 64}.get(topic, b"r")
    for offset in range(RECORDS_OF_A_SEED):
        value = mangler.octets(mangler.document(mangler.chance.choice(VALID[topic])))
        odd = mangler.chance.random() < 0.2
        yield KafkaRecord(
            topic,
            0,
            offset,
            mangler.chance.choice(STAMPS) if odd else at_ms,
            mangler.chance.choice(KEYS) if odd else key,
            value,
            headers() if odd else (),
        )


@pytest.mark.parametrize("seed", SEEDS)
def test_holds_come_back(seed: int) -> None:
    clock = OwnedClock()
    worker, listener = Worker(clock), HoldListener("r")

    for record in mangled(TOPICS.holds, seed, round(clock.now().timestamp() * 1000)):
        taken = worker.holds.take_in(record)
        listener.take_in(record)
        assert taken in (True, False)
        assert 0 <= worker.pacing.lent <= 0.9

    clock.advance(600)
    worker.holds.expire()
    assert (worker.holds.report(), worker.pacing.lent, worker.lanes.held) == (None, 0.0, 0)


@pytest.mark.parametrize("seed", SEEDS)
async def test_a_pause_can_be_shown_and_ended(seed: int) -> None:
    breaker = CircuitBreaker(OwnedClock())
    controls = PauseControl(KAFKA, TOPICS.controls, OwnedClock(), breaker)
    controls._read = True

    for record in mangled(TOPICS.controls, seed):
        controls._take_in(record)
        if breaker.paused is not None:
            assert str(breaker.paused).isprintable()
            assert breaker.paused.since.isoformat()
        controls._take_in(record._replace(key=SENDING, value=None))
        assert breaker.paused is None
    await controls.stop()


@pytest.mark.parametrize("seed", SEEDS)
async def test_only_hashes_are_suppressed(seed: int) -> None:
    suppressions = Suppressions(KAFKA, TOPICS.suppressions, OwnedClock())

    for record in mangled(TOPICS.suppressions, seed):
        assert suppressions._take_in(record) is (record.key == b"a" * 64)

    assert len(suppressions) == 1
    await suppressions.stop()


@pytest.mark.parametrize("seed", SEEDS)
async def test_a_dead_letter_with_any_resolution_can_be_shown(seed: int, tmp_path: Path) -> None:
    operator = Operator(tmp_path)
    await operator.sign_in()
    letter = KafkaRecord(TOPICS.dead_letters, 0, 0, AT_MS, b"ada@example.com", b"{}", headers())

    for record in mangled(TOPICS.resolutions, seed):
        resolutions = Resolutions()
        resolutions.take_in(record)
        [found] = dead_letters_of([read_set_aside(letter, TOPICS)], resolutions)
        assert json.dumps(as_json(found)).encode()
        assert list(in_full(found, letter, reveal=False))
        if record.offset < SHOWN:
            table([found])
            operator.reader.show(letter, found)
            for path in ("/dead-letters?state=all", "/dead-letters/0-0"):
                assert (await operator.see(path)).status_code == 200


@pytest.mark.parametrize("seed", SEEDS)
async def test_a_contact_with_any_receipts_can_be_shown(seed: int, tmp_path: Path) -> None:
    records = [record._replace(key=b"ada@example.com") for record in mangled(TOPICS.deliveries, seed)]

    fill(tmp_path, *records)

    assert "ada@example.com" in await page_of(tmp_path, "ada@example.com")


def test_the_records_are_valid_before_they_are_changed() -> None:
    worker, at = Worker(OwnedClock()), round(OwnedClock().now().timestamp() * 1000)
    for topic, taken in ((TOPICS.holds, worker.holds.take_in), (TOPICS.resolutions, Resolutions().take_in)):
        for document in VALID[topic]:
            assert taken(KafkaRecord(topic, 0, 0, at, b"0-0", json.dumps(document).encode())), document
