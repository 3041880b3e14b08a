"""The model of the outbox's tables and transactions, held against PostgreSQL: each scenario runs on both."""

import asyncio
import json
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from psycopg.errors import DeadlockDetected

from producer.relay.outbox import LARGEST_FETCH, Outbox
from producer.relay.session import execute
from producer.relay.statements import FORGET, HEAD
from tests.polling import eventually
from tests.samples import PAYLOADS
from tests.simulation.conformance.outbox_scenarios import WAITS_S, Run, begun, committed, merchant, on_both, positions
from tests.simulation.conformance.outbox_sides import Side


def signup(user: str, email: str) -> tuple[str, dict[str, Any]]:
    return "driver_signed_up", {**PAYLOADS["driver_signed_up"], "user_id": user, "email": email}


def earned(user: str, cents: int = 500) -> tuple[str, dict[str, Any]]:
    return "nova_earned", {**PAYLOADS["nova_earned"], "user_id": user, "amount_cents": cents}


async def keys_and_sequences(outbox: Outbox) -> list[tuple[str | None, int | None]]:
    outbox.rewind()
    return [(row.key, row.sequence) for row in await outbox.head(100)]


async def writers(outbox: Outbox) -> tuple[int, set[str]]:
    newest, exact, transactions = await outbox.writers()
    assert exact
    return newest, set(transactions)


@on_both
async def test_positions_become_visible_in_the_order_of_commits(side: Side) -> None:
    outbox = await side.outbox()
    first = await begun(side, merchant(1))
    second = await begun(side, merchant(2))

    await second.commit()
    assert await positions(outbox) == [2]
    await first.commit()
    assert await positions(outbox) == [1, 2]


@on_both
async def test_open_transactions_that_wrote_are_named_until_their_end(side: Side) -> None:
    outbox = await side.outbox()
    assert await writers(outbox) == (0, set())

    first, second = await begun(side, merchant(1)), await begun(side, merchant(2))
    idle = await side.begin()
    newest, both = await writers(outbox)
    assert (newest, len(both)) == (2, 2)

    await second.commit()
    newest, one = await writers(outbox)
    assert (newest, len(one), one < both) == (2, 1, True)

    await first.rollback()
    assert await writers(outbox) == (2, set())
    await idle.rollback()


@on_both
async def test_a_row_that_is_committed_late_is_read_although_later_ones_were(side: Side) -> None:
    outbox = await side.outbox()
    assert await outbox.become_active()
    late = await begun(side, merchant(1))
    await committed(side, merchant(2))
    for _ in range(2):
        await outbox.raise_low_watermark()
        await asyncio.sleep(0.5)
    assert [row.position for row in await outbox.head(10)] == [2]

    await late.commit()

    assert [row.position for row in await outbox.head(10, without=[2])] == [1]


@on_both
async def test_a_rollback_leaves_a_gap_of_positions_and_none_of_sequences(side: Side) -> None:
    outbox = await side.outbox()
    await (await begun(side, merchant(1), merchant(1))).rollback()
    await committed(side, merchant(1))

    assert await positions(outbox) == [3]
    assert await keys_and_sequences(outbox) == [("cafe1@example.com", 1)]


@pytest.mark.parametrize("ending", ["commit", "rollback"])
def test_a_contacts_sequences_are_given_one_transaction_after_the_other(run: Run, ending: str) -> None:
    async def scenario(side: Side) -> None:
        outbox = await side.outbox()
        first, second, third = await begun(side, merchant(1)), await side.begin(), await side.begin()
        tracking = asyncio.create_task(second.track(*merchant(1)))
        await asyncio.sleep(WAITS_S)
        assert not tracking.done()

        await getattr(first, ending)()
        await tracking
        # Not before: whoever comes in the moment of a commit may pass the one that waits.
        tracking_too = asyncio.create_task(third.track(*merchant(1)))
        await asyncio.sleep(WAITS_S)
        assert not tracking_too.done()
        await second.commit()
        await tracking_too
        await third.commit()

        sequences = [sequence for _, sequence in await keys_and_sequences(outbox)]
        assert sequences == ([1, 2, 3] if ending == "commit" else [1, 2])

    run(scenario)


@on_both
async def test_one_of_two_transactions_that_wait_for_each_other_is_ended(side: Side) -> None:
    outbox = await side.outbox()
    first, second = await begun(side, merchant(1)), await begun(side, merchant(2))
    tracking = {
        asyncio.create_task(first.track(*merchant(2))): first,
        asyncio.create_task(second.track(*merchant(1))): second,
    }

    results = await asyncio.gather(*tracking, return_exceptions=True)

    assert sorted(isinstance(one, DeadlockDetected) for one in results) == [False, True]
    for task, writing in tracking.items():
        await (writing.rollback() if task.exception() else writing.commit())
    assert sorted(await keys_and_sequences(outbox)) == [("cafe1@example.com", 1), ("cafe2@example.com", 1)]


@on_both
async def test_transactions_that_track_several_at_once_wait_in_one_order(side: Side) -> None:
    outbox = await side.outbox()
    first, second = await side.begin(), await side.begin()
    await first.track_several([merchant(2), merchant(1)])
    tracking = asyncio.create_task(second.track_several([merchant(1), merchant(2)]))
    await asyncio.sleep(WAITS_S)
    assert not tracking.done()
    await first.commit()
    await tracking
    await second.commit()

    cafes = ["cafe2@example.com", "cafe1@example.com"]
    assert await keys_and_sequences(outbox) == [(one, 1) for one in cafes] + [(one, 2) for one in reversed(cafes)]


@on_both
async def test_a_row_is_as_the_sql_function_writes_it(side: Side) -> None:
    outbox = await side.outbox()
    await committed(side, signup("usr_1", " Ada@Example.com"), earned("usr_1"))

    _, row = await outbox.head(2)

    assert row.payload == (
        f'{{"id": "{row.id}", "type": "nova_earned", "totals": {{"nova_earned_cents": 500, "nova_redeemed_cents": 0}},'
        ' "contact": {"email": "ada@example.com", "external_id": "usr_1"}, "payload": {"user_id": "usr_1",'
        ' "earned_at": "2026-11-24T03:00:00.123456Z", "session_id": "ses_1", "amount_cents": 500,'
        ' "new_balance_cents": 500}, "sequence": 2, "occurred_at": "2026-11-24T09:00:00.000000Z", "schema_version": 1}'
    )
    assert row[2:5] == ("ada@example.com", "nova_earned", 2)
    assert row.id[14] == "7"


@on_both
async def test_events_of_an_unknown_user_are_parked_until_the_email_is_known(side: Side) -> None:
    outbox = await side.outbox()
    await committed(side, earned("usr_1", 1), earned("usr_1", 20))
    assert await positions(outbox) == []

    await committed(side, signup("usr_1", "ada@example.com"), earned("usr_1", 300))

    assert await keys_and_sequences(outbox) == [("ada@example.com", number) for number in (1, 2, 3, 4)]
    assert '"nova_earned_cents": 321' in str((await outbox.head(10))[-1].payload)


@on_both
async def test_a_user_with_another_email_is_another_contact_and_the_former_goes_on_by_its_email(side: Side) -> None:
    outbox = await side.outbox()
    await committed(side, signup("usr_1", "ada@example.com"), signup("usr_1", "new@example.com"), earned("usr_1"))
    created = PAYLOADS["merchant_contact_created"]
    await committed(side, signup("usr_2", "new@example.com"), earned("usr_1"), ("merchant_contact_created", created))

    keys = ["ada", "new", "new", "new", "new", "ada"]
    sequences = [1, 1, 2, 3, 4, 2]
    expected = [(f"{key}@example.com", number) for key, number in zip(keys, sequences, strict=True)]
    assert await keys_and_sequences(outbox) == expected
    users = ["usr_1", "usr_1", "usr_1", "usr_2", "usr_2", None]
    outbox.rewind()
    assert [json.loads(row.payload or "")["contact"]["external_id"] for row in await outbox.head(10)] == users


@on_both
async def test_an_event_that_waited_while_its_user_got_another_email_is_of_the_new_contact(side: Side) -> None:
    outbox = await side.outbox()
    await committed(side, signup("usr_1", "ada@example.com"))
    moving = await begun(side, signup("usr_1", "new@example.com"))
    waiting = await side.begin()
    tracking = asyncio.create_task(waiting.track(*earned("usr_1")))
    await asyncio.sleep(WAITS_S)
    assert not tracking.done()

    await moving.commit()
    await tracking
    await waiting.commit()

    assert (await keys_and_sequences(outbox))[-1] == ("new@example.com", 2)


@on_both
async def test_the_head_is_limited_by_rows_and_by_octets(side: Side) -> None:
    outbox = await side.outbox()
    await committed(side, *(merchant(number) for number in range(4)))

    async def head(first: int = 1, without: str = "{}", rows: int = 10, octets: int = LARGEST_FETCH) -> list[int]:
        given = {"first": first, "without": without, "rows": rows, "octets": octets}
        return [row[0] for row in await execute(outbox._reading, HEAD, given)]

    assert await head() == [1, 2, 3, 4]
    assert await head(first=3) == [3, 4]
    assert await head(without="{1,3}") == [2, 4]
    assert await head(rows=2, without="{2}") == [1, 3]
    assert await head(rows=0) == []
    row = (await outbox.head(1))[0]
    octets = sum(len(str(text).encode()) for text in (row.key, row.type, row.payload))
    # The row that exceeds the limit is the last one.
    assert await head(octets=octets - 1) == [1]
    assert await head(octets=octets) == [1, 2]


@on_both
async def test_published_rows_are_deleted_and_kept_for_as_long_as_the_retention_says(side: Side) -> None:
    plain, keeping = await side.outbox(), await side.outbox(timedelta(hours=1))
    await committed(side, *(merchant(number) for number in range(4)))
    assert await plain.become_active()
    await plain.delete([1, 4, 99])
    assert (await positions(plain), await side.published()) == ([2, 3], [])
    await plain.close()

    await eventually(keeping.become_active, saying="the lock is free")
    await keeping.delete([2, 1])
    assert (await positions(keeping), await side.published()) == ([3], [2])
    await execute(keeping._active, FORGET, [3600.0])
    assert await side.published() == [2]
    await execute(keeping._active, FORGET, [0.0])
    assert await side.published() == []


@on_both
async def test_the_backlog_is_counted_up_to_a_limit_and_dated_by_its_first_row(side: Side) -> None:
    outbox = await side.outbox()
    assert await outbox.backlog(2) == (0, None, 0)
    await committed(side, *(merchant(number) for number in range(3)))
    await asyncio.sleep(WAITS_S)

    count, first, oldest_s = await outbox.backlog(2)

    assert (count, first) == (2, 1)
    assert WAITS_S <= oldest_s < 60


@on_both
async def test_a_restore_gives_back_rows_and_gives_sequences_and_positions_again(side: Side) -> None:
    await committed(side, merchant(1))
    await side.back_up()
    outbox = await side.outbox()
    await committed(side, merchant(1), merchant(2))
    assert await outbox.become_active()
    await outbox.delete([1, 2])

    await side.restore()

    with pytest.raises(psycopg.OperationalError):
        await outbox.beat()
    outbox = await side.outbox()
    assert await keys_and_sequences(outbox) == [("cafe1@example.com", 1)]
    await committed(side, merchant(2), merchant(1))
    assert await positions(outbox) == [1, 2, 3]
    assert await keys_and_sequences(outbox) == [
        ("cafe1@example.com", 1),
        ("cafe2@example.com", 1),
        ("cafe1@example.com", 2),
    ]
