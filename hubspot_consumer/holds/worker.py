"""Holds: contacts that a reprocessing run is about to write, of which this worker takes nothing until it is told to.

HubSpot has no conditional write: of two writers of one contact, one could move it backwards. So one of them waits.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, assert_never

from hubspot_consumer.delivery.dispatcher import Dispatcher
from hubspot_consumer.holds.records import Held, HoldBegun, Released, RunEnded, Written, read_hold_record
from hubspot_consumer.hubspot.rate_limiter import RateLimiter
from hubspot_consumer.ordering.lanes import Lanes
from runtime.clock import Clock
from runtime.logs import logger
from schemas.contacts import ContactKey

log = logger()

# Longer than any hold is in force, and than what clocks may differ by.
STALE: Final = timedelta(minutes=5)
# The wait before the topic is looked for again where it is missing.
LOOK_AGAIN_S: Final = 1.0


@dataclass(eq=False)
class HoldInForce:
    """A hold, until when this worker obeys it, and whether it has told so since partitions changed hands."""

    run: str
    number: int
    contacts: frozenset[ContactKey]
    until: float
    answered: bool = False


@dataclass(frozen=True)
class _Run:
    command: str
    quota_share: float
    until: float


class WorkerHolds:
    """Those in force, as the records of the topic tell; *changed* is set when there may be one to answer."""

    def __init__(self, lanes: Lanes, delivery: Dispatcher, rate_limiter: RateLimiter, clock: Clock) -> None:
        self._lanes = lanes
        self._delivery = delivery
        self._rate_limiter = rate_limiter
        self._clock = clock
        self._in_force: dict[tuple[str, int], HoldInForce] = {}
        self._runs: dict[str, _Run] = {}
        self.changed: Final = asyncio.Event()
        lanes.in_flight.came_back = self._came_back

    def take_in(self, record: Any) -> None:
        """Take one of aiokafka's records; what nobody can read, or is old, is passed over."""
        if self._clock.now().timestamp() - record.timestamp / 1000 > STALE.total_seconds():
            return
        match said := read_hold_record(record.value):
            case HoldBegun():
                self._begin(said)
            case Released():
                self._end(said.run, said.number, said.written, how="released", touched=said.touched)
            case RunEnded():
                self._end_run(said.run)
            case Held() | None:
                pass
            case _:
                assert_never(said)

    def expire(self) -> float | None:
        """End what was not renewed in time; return the seconds until the next may, None when none is in force."""
        now = self._clock.monotonic()
        for hold in [hold for hold in self._in_force.values() if hold.until <= now]:
            self._end(hold.run, hold.number, None, how="expired")
        for name in [name for name, run in self._runs.items() if run.until <= now]:
            log.warning("reprocessing.not_heard_of", run=name, command=self._runs.pop(name).command)
            self._lend()
        ends = [*(hold.until for hold in self._in_force.values()), *(run.until for run in self._runs.values())]
        return min(ends) - now if ends else None

    def to_answer(self) -> list[HoldInForce]:
        """Return the holds that are not answered and whose contacts are in no call any more."""
        return [hold for hold in self._in_force.values() if not (hold.answered or self._in_a_call(hold))]

    def answer_anew(self) -> None:
        """Take every hold for one that is not answered."""
        for hold in self._in_force.values():
            hold.answered = False
        self.changed.set()

    def report(self) -> dict[str, Any] | None:
        """Return the active run, and how many contacts are held, as JSON; None when there is none."""
        if not self._runs:
            return None
        # Of several, the one whose share is lent.
        name, run = max(self._runs.items(), key=lambda each: each[1].quota_share)
        contacts = len({key for hold in self._in_force.values() for key in hold.contacts})
        return {"run": name, "command": run.command, "quota_share": run.quota_share, "contacts_held": contacts}

    def _begin(self, hold: HoldBegun) -> None:
        until = self._clock.monotonic() + hold.for_s
        if hold.run not in self._runs:
            log.info("reprocessing.begun", run=hold.run, command=hold.command, quota_share=hold.quota_share)
        self._runs[hold.run] = _Run(hold.command, hold.quota_share, until)
        self._lend()
        if (hold.run, hold.number) not in self._in_force:
            made = HoldInForce(hold.run, hold.number, frozenset(hold.contacts), until)
            self._in_force[hold.run, hold.number] = made
            self._lanes.hold(made.contacts)
            log.debug("hold.begun", run=hold.run, number=hold.number, contacts=len(made.contacts))
        self.changed.set()

    def _end(
        self, run: str, number: int, written: Mapping[ContactKey, Written] | None, *, how: str, touched: bool = True
    ) -> None:
        """Release a hold; *written* None where nobody tells what the run wrote."""
        if (hold := self._in_force.pop((run, number), None)) is None:
            return
        for key in hold.contacts:
            if (one := (written or {}).get(key)) is not None:
                self._lanes.written(key, one.sequence, one.contact_id)
            elif touched:
                # A call that nobody answered may have written it.
                self._lanes.maybe_written(key)
            self._lanes.release(key)
        told = {"run": run, "number": number, "contacts": len(hold.contacts)}
        if written is not None or not hold.contacts:
            log.debug("hold.released", **told, written=len(written or ()))
        else:
            log.warning("hold.ended", **told, how=how)
        self._delivery.notify()

    def _end_run(self, name: str) -> None:
        for hold in [hold for hold in self._in_force.values() if hold.run == name]:
            self._end(hold.run, hold.number, None, how="run ended")
        if (run := self._runs.pop(name, None)) is not None:
            log.info("reprocessing.ended", run=name, command=run.command)
        self._lend()

    def _lend(self) -> None:
        self._rate_limiter.lend(max((run.quota_share for run in self._runs.values()), default=0.0))

    def _in_a_call(self, hold: HoldInForce) -> bool:
        return any(key in self._lanes.in_flight for key in hold.contacts)

    def _came_back(self, key: ContactKey) -> None:
        if self._lanes.is_held(key):
            self.changed.set()
