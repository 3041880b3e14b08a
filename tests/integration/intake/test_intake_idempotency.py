"""The intake's idempotency keys: each has one effect, whatever comes how often and at once."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import psycopg
import pytest

from producer.intake import intake as producer_intake
from tests.outbox.intake import Caller, calling, code
from tests.polling import eventually
from tests.samples import PAYLOADS

SIGNED_UP, EARNED = PAYLOADS["driver_signed_up"], PAYLOADS["nova_earned"]
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture
async def caller(database_url: str) -> AsyncIterator[Caller]:
    async with calling(database_url) as calls:
        yield calls


def signed_up(number: int, **item: Any) -> dict[str, Any]:
    user = {"user_id": f"usr_{number}", "email": f"contact{number}@example.com"}
    return {"type": "driver_signed_up", "payload": SIGNED_UP | user, **item}


async def test_the_same_request_again_is_answered_the_same_and_has_no_second_effect(caller: Caller) -> None:
    first = await caller.post()
    again = await caller.post(payload=dict(reversed(SIGNED_UP.items())), traceparent=TRACE)

    assert (again.status_code, again.json()) == (first.status_code, first.json())
    assert len(await caller.ids()) == 1
    assert (caller.counted("accepted"), caller.counted("repeated")) == (1, 1)


async def test_a_key_may_be_quoted_as_the_draft_has_it_or_bare(caller: Caller) -> None:
    bare, quoted = await caller.post(key='k"1'), await caller.post(key='"k\\"1"')

    assert bare.json() == quoted.json()


@pytest.mark.parametrize(
    "other", [{"payload": SIGNED_UP | {"auth_provider": "google"}}, {"Occurred_At": "2026-11-24T03:00:00Z"}]
)
async def test_the_same_key_with_another_request_is_refused(caller: Caller, other: dict[str, Any]) -> None:
    await caller.post()
    answer = await caller.post(**other)

    assert (answer.status_code, code(answer)) == (422, "idempotency_key_reused")
    assert len(await caller.ids()) == 1


async def test_the_same_event_with_another_key_is_another_event(caller: Caller) -> None:
    first, second = await caller.post(key="a"), await caller.post(key="b")

    assert await caller.ids() == [first.json()["id"], second.json()["id"]]


async def test_a_request_that_was_refused_leaves_its_key_free(caller: Caller) -> None:
    await caller.post(payload={})

    assert (await caller.post()).status_code == 202


async def test_of_many_at_once_with_one_key_one_takes_effect_and_all_are_answered_alike(caller: Caller) -> None:
    answers = await asyncio.gather(*(caller.post() for _ in range(20)))

    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert len(await caller.ids()) == 1


async def test_a_request_waits_for_the_one_in_flight_with_its_key(caller: Caller) -> None:
    async with await psycopg.AsyncConnection.connect(caller.database_url) as blocker:
        # Holds up the first request between its key and its event.
        await blocker.execute("INSERT INTO outbox_contacts (contact_key) VALUES ('ada@example.com')")
        first = asyncio.create_task(caller.post())
        await eventually(lambda: _waiting(caller, 1), saying="the first waits for its contact")
        second = asyncio.create_task(caller.post())
        await eventually(lambda: _waiting(caller, 2), saying="the second waits for its key")
        await blocker.rollback()

    assert (await first).json() == (await second).json()
    assert len(await caller.ids()) == 1


async def _waiting(caller: Caller, how_many: int) -> bool:
    query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    return await caller.asked(query) == [(how_many,)]


async def test_a_key_is_forgotten_after_a_day_and_not_before(caller: Caller) -> None:
    await caller.post(key="yesterday's")
    await caller.post(key="today's")
    await _make_older(caller, "yesterday''s", "24 hours 1 second")
    await _make_older(caller, "today''s", "23 hours 59 minutes")

    assert await caller.intake.forget() == 1

    assert await caller.asked("SELECT key FROM outbox_idempotency_keys") == [("today's",)]


async def test_a_key_that_is_over_and_not_forgotten_yet_is_free(caller: Caller) -> None:
    first = await caller.post()
    await _make_older(caller, "key-1", "24 hours 1 second")

    second = await caller.post(payload=SIGNED_UP | {"auth_provider": "google"})
    again = await caller.post(payload=SIGNED_UP | {"auth_provider": "google"})

    assert second.json() == again.json() != first.json()
    assert len(await caller.ids()) == 2


async def _make_older(caller: Caller, key: str, by: str) -> None:
    await caller.asked(f"UPDATE outbox_idempotency_keys SET created_at = now() - interval '{by}' WHERE key = '{key}'")


async def test_old_keys_are_forgotten_without_being_asked(database_url: str) -> None:
    async with calling(database_url) as caller:
        await caller.post()
        await _make_older(caller, "key-1", "25 hours")

    async with calling(database_url) as caller:
        await eventually(lambda: _no_keys(caller), saying="the key is forgotten")


async def _no_keys(caller: Caller) -> bool:
    return await caller.asked("SELECT FROM outbox_idempotency_keys") == []


async def test_a_batch_again_is_answered_the_same(caller: Caller) -> None:
    items = [signed_up(1), signed_up(2)]

    first, again = await caller.batch(items), await caller.batch(items)
    other, shorter = await caller.batch([signed_up(3)]), await caller.batch(items[:1])

    assert first.json() == again.json()
    assert (code(other), code(shorter)) == ("idempotency_key_reused",) * 2
    assert len(await caller.ids()) == 2


async def test_an_event_with_a_key_of_its_own_may_come_again_in_another_batch_or_alone(caller: Caller) -> None:
    first = await caller.batch([signed_up(1, idempotency_key="a"), signed_up(2, idempotency_key="b")], key=None)
    second = await caller.batch([signed_up(2, idempotency_key="b"), signed_up(3, idempotency_key="c")], key=None)
    alone = await caller.post(payload=signed_up(1)["payload"], key="a")

    (one, two), (two_again, three) = first.json()["ids"], second.json()["ids"]
    assert (two_again, alone.json()["id"]) == (two, one)
    assert await caller.ids() == [one, two, three]


async def test_a_batch_may_have_a_key_and_its_events_too(caller: Caller) -> None:
    first = await caller.batch([signed_up(1, idempotency_key="a"), signed_up(2)])
    again = await caller.batch([signed_up(1, idempotency_key="a"), signed_up(2)])

    assert first.json() == again.json()
    assert await caller.ids() == first.json()["ids"]


async def test_two_items_with_one_key_are_one_event_if_they_are_the_same(caller: Caller) -> None:
    same = await caller.batch([signed_up(1, idempotency_key="a")] * 2, key=None)
    other = await caller.batch([signed_up(2, idempotency_key="b"), signed_up(3, idempotency_key="b")], key=None)

    assert same.json()["ids"] == (await caller.ids()) * 2
    assert (code(other), other.json()["errors"][0]["index"]) == ("idempotency_key_reused", 0)


async def test_an_item_whose_key_was_another_events_refuses_the_batch_and_is_named(caller: Caller) -> None:
    await caller.post(key="a")
    answer = await caller.batch([signed_up(1, idempotency_key="b"), signed_up(2, idempotency_key="a")], key=None)

    assert (answer.status_code, code(answer)) == (422, "idempotency_key_reused")
    assert [fault["index"] for fault in answer.json()["errors"]] == [1]
    assert len(await caller.ids()) == 1


async def test_a_batch_needs_a_key_or_one_for_each_event(caller: Caller) -> None:
    answer = await caller.batch([signed_up(1, idempotency_key="a"), signed_up(2)], key=None)

    assert (answer.status_code, code(answer)) == (400, "bad_idempotency_key")
    assert [fault["index"] for fault in answer.json()["errors"]] == [1]
    assert await caller.ids() == []


async def test_batches_with_the_same_contacts_in_another_order_do_not_lock_each_other_out(
    caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = 0
    write = producer_intake._write

    async def counted(*arguments: Any) -> Any:
        nonlocal tries
        tries += 1
        return await write(*arguments)

    monkeypatch.setattr(producer_intake, "_write", counted)
    forwards = [signed_up(number) for number in range(100)]
    answers = await asyncio.gather(
        caller.batch(forwards, "a"), caller.batch(forwards[::-1], "b"), caller.batch(forwards, "c")
    )

    assert [answer.status_code for answer in answers] == [202] * 3
    assert tries == 3
    assert len(await caller.ids()) == 300
    sequences = await caller.asked("SELECT min(sequence), max(sequence) FROM outbox_contacts")
    assert sequences == [(3, 3)]


async def test_a_deadlock_is_tried_again(caller: Caller) -> None:
    """One request holds a contact, the test another; each then asks for the other's."""
    await caller.batch([signed_up(1), signed_up(2)], "before")
    async with await psycopg.AsyncConnection.connect(caller.database_url) as other:
        # The one who waits for less long is the one that PostgreSQL ends.
        await other.execute("SET deadlock_timeout = '1min'")
        await other.execute("SELECT FROM outbox_contacts WHERE contact_key = 'contact2@example.com' FOR UPDATE")
        batch = asyncio.create_task(caller.batch([signed_up(1), signed_up(2)], "after"))
        await eventually(lambda: _waiting(caller, 1), saying="the batch waits for the second contact")
        await other.execute("SELECT FROM outbox_contacts WHERE contact_key = 'contact1@example.com' FOR UPDATE")
        await other.rollback()

    assert (await batch).status_code == 202
    assert len(await caller.ids()) == 4
