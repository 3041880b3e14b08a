"""The portal's checks before the first delivery: they use the worker's part of the quota, and so need its lease."""

import asyncio
import random
from types import SimpleNamespace
from typing import Any, cast

import pytest

from hubspot_consumer.delivery.portal import Portal
from hubspot_consumer.gates.circuit_breaker import CircuitBreaker
from hubspot_consumer.kafka.lease import LASTS_S, Lease
from tests.clock import LoopClock, run_fast
from tests.samples import PORTAL_ID


class Client:
    """HubSpot's answers about the portal; `asked` has the questions."""

    def __init__(self, *, custom_events: bool = False, notes: bool = False) -> None:
        self.asked: list[str] = []
        self._custom_events = custom_events
        self._notes = notes

    async def portal(self) -> Any:
        self.asked.append("portal")
        return SimpleNamespace(portal_id=PORTAL_ID)

    async def takes_custom_events(self) -> bool:
        self.asked.append("custom_events")
        return self._custom_events

    async def takes_notes(self) -> bool:
        self.asked.append("notes")
        return self._notes


def portal_of(client: Client, clock: LoopClock, lease: Lease, timeline: str = "off") -> Portal:
    settings: Any = SimpleNamespace(hubspot_portal_id=PORTAL_ID, hubspot_timeline=timeline, hubspot_id_property="email")
    breaker, jitter = CircuitBreaker(clock), random.Random(1)
    return Portal(cast("Any", client), settings, breaker, clock, jitter, lease.until_valid)


def test_a_worker_that_kafka_has_lost_asks_its_portal_nothing() -> None:
    async def work() -> None:
        clock, client = LoopClock(), Client()
        lease = Lease(clock)
        portal = portal_of(client, clock, lease)
        lease.renew(clock.monotonic())
        await asyncio.sleep(2 * LASTS_S)

        checking = asyncio.create_task(portal.check())
        await asyncio.sleep(60)
        assert client.asked == []

        lease.renew(clock.monotonic())
        await checking
        assert client.asked == ["portal"]

    run_fast(work())


@pytest.mark.parametrize(
    ("setting", "client", "mode", "asked"),
    [
        ("auto", Client(custom_events=True), "custom_events", ["custom_events"]),
        ("auto", Client(notes=True), "notes", ["custom_events", "notes"]),
        ("auto", Client(), "off", ["custom_events", "notes"]),
        ("custom_events", Client(), "custom_events", ["custom_events"]),
        ("notes", Client(), "notes", []),
    ],
)
def test_the_setting_chooses_the_form_of_entries_or_what_the_portal_takes(
    setting: str, client: Client, mode: str, asked: list[str]
) -> None:
    async def work() -> None:
        clock = LoopClock()
        lease = Lease(clock)
        lease.renew(clock.monotonic())
        timeline: Any = SimpleNamespace(in_doubt=True)

        await portal_of(client, clock, lease, setting).choose(timeline)

        assert (timeline.mode, timeline.automatic, timeline.in_doubt) == (mode, setting == "auto", False)
        assert client.asked == asked

    run_fast(work())
