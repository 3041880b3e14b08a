"""A session of a run: its background tasks, and what it asks of the dead letters."""

import asyncio
import sqlite3
from contextlib import AsyncExitStack
from types import SimpleNamespace
from typing import Any, NoReturn, cast

import pytest

from hubspot_consumer.dead_letters.catalogue import DeadLetterCatalogue
from hubspot_consumer.history.store import Stored
from hubspot_consumer.reprocessing.session import RunSession, _meanwhile
from tests.clock import run_fast
from tests.samples import EMAIL


def test_a_run_ends_with_the_fault_of_what_follows_the_topics_for_it() -> None:
    async def full() -> NoReturn:
        await asyncio.sleep(5)
        raise sqlite3.OperationalError("database or disk is full")

    async def work() -> None:
        async with _meanwhile(full()):
            # As a run waits for records that nobody reads any more.
            await asyncio.Event().wait()

    with pytest.raises(sqlite3.OperationalError):
        run_fast(work())


def test_a_run_that_is_cancelled_ends_as_cancelled() -> None:
    async def forever() -> NoReturn:
        await asyncio.Event().wait()
        raise AssertionError

    async def work() -> None:
        async with _meanwhile(forever()):
            await asyncio.Event().wait()

    async def cancelled() -> None:
        task = asyncio.create_task(work())
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run_fast(cancelled())


async def test_an_event_that_is_a_dead_letter_for_any_reason_and_in_any_state_was_set_aside(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    events = [Stored(EMAIL, 1, "lifecycle.nova_earned", 0, offset, 0, b"{}") for offset in (7, 8)]
    letters = SimpleNamespace(places=lambda: frozenset([events[0].place]))

    async def read(*_: object) -> Any:
        return letters

    monkeypatch.setattr(DeadLetterCatalogue, "read", read)
    settings = SimpleNamespace(client_options=dict, dead_letter_limit=1, topics=None)
    run = SimpleNamespace(store=SimpleNamespace(fact=lambda _name, default: default))
    async with AsyncExitStack() as opened:
        one = RunSession(cast("Any", settings), cast("Any", run), "audit", 0.1, timeline=True, opened=opened)

        assert await one.never_set_aside({each.place: each for each in events}) == [events[1]]
