"""A worker's parts for what reads them only: real where they are cheap, and idle."""

from types import SimpleNamespace
from typing import Any, cast

from hubspot_consumer.gates.circuit_breaker import CircuitBreaker
from hubspot_consumer.gates.unwritable_properties import UnwritableProperties
from hubspot_consumer.hubspot.rate_limiter import RateLimiter
from hubspot_consumer.kafka.offsets import Offsets
from hubspot_consumer.ordering.lanes import Lanes
from hubspot_consumer.worker.parts import Gates, Live, Parts, Sink, Source
from hubspot_consumer.worker.status import Status
from runtime.clock import Clock
from runtime.health import Health
from tests.clock import OwnedClock


def status_of(parts: Parts | None = None, health: Health | None = None) -> Status:
    """Return the status of a live worker, idle unless its *parts* are given."""
    return Status("live", health or Health(), {}, parts or idle_parts())


def idle_parts(clock: Clock | None = None, *, limiter: RateLimiter | None = None, stuck: str | None = None) -> Parts:
    clock = clock or OwnedClock()
    anything = cast("Any", None)
    live = (
        Live(
            rate_limiter=limiter,
            portal=anything,
            controls=anything,
            holds=cast("Any", SimpleNamespace(report=lambda: None)),
            hold_answers=anything,
            receipts=None,
        )
        if limiter
        else None
    )
    return Parts(
        source=Source(
            cast("Any", SimpleNamespace(by_topic={})), Offsets(), anything, anything, anything, anything, anything
        ),
        gates=Gates(CircuitBreaker(clock), cast("Any", ()), UnwritableProperties()),
        sink=Sink(
            Lanes(clock),
            cast("Any", SimpleNamespace(calls_in_flight=0)),
            cast("Any", SimpleNamespace(mode="custom_events")),
            cast("Any", SimpleNamespace(by_reason={})),
            anything,
        ),
        progress=cast("Any", SimpleNamespace(stuck=stuck)),
        live=live,
    )
