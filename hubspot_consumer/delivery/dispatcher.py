"""The dispatcher: takes lanes from their queues and starts a call for them, in each slot of the rate limiter.

The batches are natural: a slot takes all contacts that are ready, up to the limit of a call. An idle system sends one
event in milliseconds; a system with a backlog sends a hundred contacts and several hundred events per call.
"""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from hubspot_consumer.delivery.destination import Destination, Slot
from hubspot_consumer.delivery.writer import LaneWriter
from hubspot_consumer.gates.circuit_breaker import CircuitBreaker
from hubspot_consumer.hubspot.requests import MOST_UPSERTS
from hubspot_consumer.kafka.lease import Lease
from hubspot_consumer.ordering.lanes import Lanes
from runtime.clock import set_within

# Eight calls of 400 ms at a time use up a quota of 190 calls in ten seconds.
MOST_CALLS_IN_FLIGHT: Final = 8
# A queue with few contacts gives way to fuller calls at most this often.
MOST_PASSED_OVER: Final = 20
# With a backlog, a look-up gives way longer: once the contact's first event is read, the look-up is not needed.
MOST_LOOK_UPS_PASSED_OVER: Final = 60
# Where no queue fills a call, each call takes its whole queue, and passing another over saves nothing.
MOST_PASSED_OVER_BY_PARTS: Final = 2


@dataclass
class _Queue:
    """The contacts that wait for one kind of call; `take` removes up to a number of them and returns their call."""

    waiting: Callable[[], int]
    take: Callable[[int, Slot], Coroutine[Any, Any, None]]
    most_passed_over: int = MOST_PASSED_OVER
    passed_over: int = 0

    def overdue(self, *, backlog: bool) -> bool:
        return self.passed_over >= (self.most_passed_over if backlog else MOST_PASSED_OVER_BY_PARTS)


class Dispatcher:
    """Delivers the events of *lanes* to *destination*; each call has a slot, and several calls are in flight."""

    def __init__(
        self, lanes: Lanes, destination: Destination, writer: LaneWriter, breaker: CircuitBreaker, lease: Lease
    ) -> None:
        self._lanes = lanes
        self._lease = lease
        self._destination = destination
        self._breaker = breaker
        self._queues = (
            _Queue(lambda: lanes.ready, lambda most, slot: writer.deliver(lanes.take(most), slot)),
            _Queue(lambda: lanes.new, lambda most, slot: writer.create(lanes.take_new(most), slot)),
            _Queue(
                lambda: lanes.unknown,
                lambda most, slot: writer.look_up(lanes.take_unknown(most), slot),
                MOST_LOOK_UPS_PASSED_OVER,
            ),
        )
        self._changed = asyncio.Event()
        self._calls: set[asyncio.Task[None]] = set()
        # Counts all calls since the start, whatever their outcome.
        self.calls_ended = 0
        self._may_call = asyncio.Semaphore(MOST_CALLS_IN_FLIGHT)
        self._faults: asyncio.Queue[BaseException] = asyncio.Queue()
        self._taking = True

    def notify(self) -> None:
        """Wake `run` after events were added to the lanes."""
        self._changed.set()

    @property
    def calls_in_flight(self) -> int:
        return len(self._calls)

    @property
    def busy(self) -> bool:
        """Whether a call is in flight, or could begin now: lanes wait for one and sending is not halted."""
        return bool(self._calls) or (self._has_work and self._breaker.halted is None)

    async def run(self) -> None:
        """Deliver until cancelled; calls in flight then go on, see `drain`."""
        while True:
            await self._something_ready()
            if (spent := self._destination.spent()) is not None:
                self._breaker.trip(spent)
            probing = await self._breaker.until_allowed()
            await self._may_call.acquire()
            slot = await self._destination.slot()
            if not self._may_begin(probing=probing):
                slot.give_back()
                self._may_call.release()
                await self._lease.until_valid()
                continue
            task = asyncio.create_task(self._next_call(slot, probing=probing))
            self._calls.add(task)
            task.add_done_callback(self._call_done)
            if probing:
                await asyncio.wait([task])

    async def drain(self, seconds: float) -> bool:
        """Take no more lanes until `resume`; return whether the calls in flight ended within *seconds*."""
        self.pause()
        if self._calls:
            await asyncio.wait(self._calls, timeout=seconds)
        return not self._calls

    def pause(self) -> None:
        """Take no more lanes until `resume`; calls in flight go on."""
        self._taking = False

    def fail(self, fault: BaseException) -> None:
        """Make `failed` raise *fault*, unless there was one before."""
        self._faults.put_nowait(fault)

    async def failed(self) -> NoReturn:
        """Wait for a fault after which the worker must end, such as a bug in a call, and raise it."""
        # The lanes of a failed call would stay in flight for ever. A restart reads their events again.
        raise await self._faults.get()

    def resume(self) -> None:
        """Take lanes again, after `drain` or `pause`."""
        self._taking = True
        self.notify()

    def _call_done(self, task: asyncio.Task[None]) -> None:
        self._calls.discard(task)
        self.calls_ended += 1
        self._may_call.release()
        self.notify()
        if not task.cancelled() and (fault := task.exception()) is not None:
            self.fail(fault)

    def _may_begin(self, *, probing: bool) -> bool:
        # Another worker may have been assigned this worker's partitions and its part of the quota. And during the wait
        # for a slot another call may have taken the work or the last of the day's calls, or a pause began.
        return (
            self._lease.valid
            and self._has_work
            and not self._breaker.paused
            and (probing or self._destination.spent() is None)
        )

    @property
    def _has_work(self) -> bool:
        return self._taking and any(queue.waiting() for queue in self._queues)

    async def _something_ready(self) -> None:
        while True:
            self._changed.clear()
            next_due_s = self._lanes.wake()
            if self._has_work:
                return
            await set_within(self._changed, next_due_s)

    def _next_call(self, slot: Slot, *, probing: bool) -> Coroutine[Any, Any, None]:
        # The lanes are taken now and not when the call's task begins, so that the next slot takes only the others.
        waiting = [queue for queue in self._queues if queue.waiting()]
        backlog = any(queue.waiting() >= MOST_UPSERTS for queue in waiting)
        # Where several queues can fill a call, the first of them is taken.
        next_queue = max(
            waiting, key=lambda queue: (queue.overdue(backlog=backlog), min(queue.waiting(), MOST_UPSERTS))
        )
        for queue in waiting:
            queue.passed_over = 0 if queue is next_queue else queue.passed_over + 1
        return next_queue.take(1 if probing else MOST_UPSERTS, slot)
