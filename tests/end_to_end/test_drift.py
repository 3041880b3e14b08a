"""A backlog larger than a worker's memory, whose topics are read at different speeds, still takes effect in order."""

from collections import defaultdict
from collections.abc import Iterator
from uuid import UUID

import pytest

from bench.backlog import publish
from producer.relay.row import Row
from tests.pipeline import PARTITIONS, Pipeline

pytestmark = pytest.mark.timeout(180)

CONTACTS, EVENTS = 1_500, 30_000
AT = "2026-11-24T03:00:00Z"
# A fetch holds one of these and many of the others, which run far ahead: readers ignore the note.
LARGE = (
    f'"user_id": "u", "amount_cents": 5, "session_id": "s", "new_balance_cents": 5, "earned_at": "{AT}", '
    f'"note": "{"n" * 20_000}"'
)
SMALL = f'"user_id": "u", "pass_type": "apple", "installed_at": "{AT}"'


def rows() -> Iterator[Row]:
    for number in range(EVENTS):
        contact, sequence = number % CONTACTS, number // CONTACTS + 1
        kind, payload = ("nova_earned", LARGE) if sequence == 1 else ("wallet_pass_installed", SMALL)
        email, event_id = f"contact{contact}@example.com", str(UUID(int=number))
        value = (
            f'{{"id": "{event_id}", "type": "{kind}", "schema_version": 1, "sequence": {sequence}, '
            f'"occurred_at": "{AT}", "contact": {{"email": "{email}", "external_id": null}}, '
            f'"totals": {{"nova_earned_cents": 0, "nova_redeemed_cents": 0}}, "payload": {{{payload}}}}}'
        )
        yield Row(number, event_id, email, kind, sequence, value, None)


@pytest.mark.chaos
@pytest.mark.parametrize("killed", [False, True], ids=["at once", "killed on the way"])
async def test_topics_that_are_read_at_different_speeds_do_not_fill_the_memory_with_holes(
    pipeline: Pipeline, *, killed: bool
) -> None:
    await pipeline.simulator.change_settings(quota=190)
    await publish(pipeline.environment["KAFKA_BOOTSTRAP_SERVERS"], pipeline.topics, PARTITIONS, rows(), print)
    worker = pipeline.consumer(HUBSPOT_RATE_LIMIT="190")
    await worker.launch_and_wait()
    if killed:
        await pipeline.until_arrived(EVENTS // 4, within_s=55)
        await worker.kill()
        await worker.launch_and_wait()

    # Less than the time after which a hole is given up.
    await pipeline.until_arrived(EVENTS, within_s=55)

    assert (await worker.status())["contacts"]["holes_released"] == 0
    accepted = await pipeline.simulator.accepted()
    sequences: defaultdict[int, list[int]] = defaultdict(list)
    for event_id, _ in accepted.entries:
        number = UUID(event_id).int
        sequences[number % CONTACTS].append(number // CONTACTS + 1)
    assert all(of_contact == list(range(1, EVENTS // CONTACTS + 1)) for of_contact in sequences.values())
    assert len(sequences) == CONTACTS
