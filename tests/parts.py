"""A worker's parts for what reads them only: real where they are cheap, and idle."""

from collections.abc import Collection
from types import SimpleNamespace
from typing import cast

from hubspot_consumer.delivery.receipts import Receipts
from hubspot_consumer.delivery.resyncs import Resyncs
from hubspot_consumer.gates.circuit_breaker import CircuitBreaker
from hubspot_consumer.gates.unwritable_properties import UnwritableProperties
from hubspot_consumer.hubspot.rate_limiter import RateLimiter
from hubspot_consumer.kafka.offsets import Offsets
from hubspot_consumer.metrics import Telemetry
from hubspot_consumer.ordering.lanes import Lanes
from hubspot_consumer.worker.status import Status
from hubspot_consumer.worker.wiring import Parts
from runtime.clock import Clock
from runtime.health import Health
from schemas.contacts import ContactKey
from tests.clock import OwnedClock


def status_of(parts: Parts | None = None, health: Health | None = None) -> Status:
    """Return the status of a live worker, idle unless its *parts* are given."""
    return Status("live", health or Health(), {}, parts or idle_parts())


def idle_parts(clock: Clock | None = None, *, limiter: RateLimiter | None = None, stuck: str | None = None) -> Parts:
    clock = clock or OwnedClock()
    live = SimpleNamespace(rate_limiter=limiter, holds=SimpleNamespace(report=lambda: None))
    return cast(
        "Parts",
        SimpleNamespace(
            core=SimpleNamespace(
                lag=SimpleNamespace(by_topic={}),
                offsets=Offsets(),
                breaker=CircuitBreaker(clock),
                suppressions=(),
                unwritable=UnwritableProperties(),
                lanes=Lanes(clock),
                receipts_topic=None,
            ),
            sink=SimpleNamespace(
                delivery=SimpleNamespace(calls_in_flight=0),
                timeline=SimpleNamespace(mode="custom_events", left_out=0),
                dead_letters=SimpleNamespace(by_reason={}),
            ),
            progress=SimpleNamespace(stuck=stuck),
            live=live if limiter else None,
        ),
    )


def no_receipts(clock: Clock) -> Receipts:
    """Return what a dry run has in place of receipts."""
    return Receipts(None, Offsets(), UnwritableProperties(), clock)


async def no_resync(_keys: Collection[ContactKey]) -> Collection[ContactKey]:
    """Write nothing, as if all had been written."""
    return ()


def no_resyncs(clock: Clock) -> Resyncs:
    """Return resyncs of a worker that needs none."""
    return Resyncs(no_resync, Lanes(clock), clock, Telemetry())
