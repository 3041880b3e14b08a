"""Resyncs in a worker: tried again ever more rarely, and no worker's stop waits for one."""

import asyncio
from collections.abc import Collection

from hubspot_consumer.delivery.resyncs import Resyncs
from hubspot_consumer.metrics import Telemetry
from hubspot_consumer.ordering.lanes import Lanes
from hubspot_consumer.reprocessing.writing import _to_its_end
from hubspot_consumer.worker.service import DRAIN_AT_STOP_S, _first_of
from schemas.contacts import ContactKey
from tests.clock import LoopClock, run_fast

ADA = ContactKey("ada@example.com")


def test_a_worker_stops_in_time_although_its_resync_is_in_a_call() -> None:
    async def work() -> tuple[float, bool]:
        clock, ended = LoopClock(), asyncio.Event()

        async def resync(_keys: Collection[ContactKey]) -> Collection[ContactKey]:
            try:
                # An upsert that HubSpot answers late: 30 s are within the client's limits.
                await _to_its_end(clock.sleep(30))
            finally:
                ended.set()
            return ()

        resyncs = Resyncs(resync, Lanes(clock), clock, Telemetry())
        resyncs._want(ADA, "deleted")
        await _first_of(resyncs.run(), clock.sleep(10.0))
        stopping = clock.monotonic()
        await resyncs.stop(DRAIN_AT_STOP_S)
        took_s = clock.monotonic() - stopping
        await ended.wait()
        return took_s, stopping < 11.0

    took_s, at_once = run_fast(work())
    assert at_once, "the worker's own stop begins at once"
    assert took_s < DRAIN_AT_STOP_S + 1


def test_what_fails_is_tried_again_ever_more_rarely_and_nothing_is_forgotten() -> None:
    asked = list[list[ContactKey]]()

    async def work() -> None:
        async def resync(keys: Collection[ContactKey]) -> Collection[ContactKey]:
            asked.append(list(keys))
            raise OSError("another run is active")

        clock = LoopClock()
        resyncs = Resyncs(resync, Lanes(clock), clock, Telemetry())
        resyncs._want(ADA, "deleted")
        running = asyncio.create_task(resyncs.run())
        await asyncio.sleep(3_600)
        running.cancel()

    run_fast(work())
    assert asked == [[ADA]] * len(asked)
    assert 5 <= len(asked) <= 12


def test_a_dry_run_wants_none_and_a_contact_that_is_wanted_once_more_meanwhile_is_written_once_more() -> None:
    asked = list[list[ContactKey]]()

    async def work() -> None:
        clock = LoopClock()

        async def resync(keys: Collection[ContactKey]) -> Collection[ContactKey]:
            asked.append(list(keys))
            await clock.sleep(10)
            return ()

        dry, live = (Resyncs(given, Lanes(clock), clock, Telemetry()) for given in (None, resync))
        running = [asyncio.create_task(each.run()) for each in (dry, live)]
        for wait_s in (0, 10):
            await asyncio.sleep(wait_s)
            dry._want(ADA, "deleted")
            live._want(ADA, "deleted")
        await asyncio.sleep(600)
        for task in running:
            task.cancel()

    run_fast(work())
    assert asked == [[ADA], [ADA]]
