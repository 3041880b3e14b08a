"""A pause: nothing goes out, no probe either, whatever else halts; what is said last is what holds."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import httpx
import pytest
from structlog.testing import capture_logs
from typer.testing import CliRunner

from console.web.view import utc
from hubspot_consumer.__main__ import commands
from hubspot_consumer.delivery.portal import Portal
from hubspot_consumer.gates.circuit_breaker import CircuitBreaker, Paused
from hubspot_consumer.gates.pause import SENDING, Pause, PauseControl, SendingPaused, read_pause
from hubspot_consumer.hubspot.outcomes import Halt
from hubspot_consumer.metrics import Telemetry
from hubspot_consumer.worker.status import endpoints
from tests.clock import START, LoopClock, OwnedClock, run_fast
from tests.parts import idle_parts, status_of
from tests.samples import UNTELLABLE

SINCE = datetime(2026, 11, 24, 3, tzinfo=UTC)
PAUSED = Paused(SINCE, "ada", "an import runs")
REFUSED = Halt("token_refused", "401")


def said(pause: Pause | bytes | None, key: bytes = SENDING) -> Any:
    value = pause.model_dump_json().encode() if isinstance(pause, Pause) else pause
    return SimpleNamespace(key=key, value=value, timestamp=SINCE.timestamp() * 1000)


def told(gate: CircuitBreaker) -> tuple[str | None, str | None]:
    """Return why nothing is sent, and what there is behind it."""
    halted, behind = gate.halted, gate.behind
    return halted.reason if halted else None, behind.reason if behind else None


def test_nothing_goes_through_in_a_pause_and_all_of_it_at_once_afterwards() -> None:
    async def work() -> None:
        gate = CircuitBreaker(LoopClock())
        gate.pause(PAUSED)
        opening = asyncio.create_task(gate.until_allowed())
        await asyncio.sleep(24 * 3600)
        assert not opening.done()
        began = LoopClock().monotonic()

        gate.resume()

        assert await opening is False
        assert LoopClock().monotonic() - began < 0.1
        assert gate.halted is None

    run_fast(work())


def test_a_halt_that_comes_in_a_pause_is_probed_when_the_pause_is_over() -> None:
    async def work() -> None:
        gate = CircuitBreaker(LoopClock())
        gate.pause(PAUSED)
        # A call that was under way.
        gate.trip(REFUSED)
        assert told(gate) == ("paused", "token_refused")
        opening = asyncio.create_task(gate.until_allowed())
        await asyncio.sleep(3600)
        assert not opening.done()

        gate.resume()

        assert await opening is True
        assert told(gate) == ("token_refused", None)

    run_fast(work())


def test_a_pause_that_comes_in_a_halt_keeps_back_the_next_probe_and_outlives_the_halt() -> None:
    async def work() -> None:
        gate = CircuitBreaker(LoopClock())
        gate.trip(REFUSED)
        opening = asyncio.create_task(gate.until_allowed())
        await asyncio.sleep(0.5)
        gate.pause(PAUSED)
        await asyncio.sleep(3600)
        assert not opening.done()

        gate.record(None)
        assert told(gate) == ("paused", None)
        await asyncio.sleep(3600)
        assert not opening.done()
        gate.resume()

        assert await opening is False

    run_fast(work())


def test_a_day_whose_calls_are_spent_is_not_probed_because_a_pause_ended() -> None:
    async def work() -> None:
        clock = LoopClock()
        gate = CircuitBreaker(clock)
        midnight = clock.now() + timedelta(hours=10)
        gate.pause(PAUSED)
        gate.trip(Halt("daily_quota_spent", "0 left", midnight))

        gate.resume()
        await gate.until_allowed()

        assert clock.now() >= midnight

    run_fast(work())


def test_a_pause_is_told_of_once_and_again_with_another_note() -> None:
    gate = CircuitBreaker(OwnedClock())
    with capture_logs() as lines:
        for paused in (PAUSED, PAUSED, Paused(SINCE, "grace", "still")):
            gate.pause(paused)
        for _ in range(2):
            gate.resume()

    assert [(line["event"], line.get("note"), line.get("reason")) for line in lines] == [
        ("delivery.paused", "an import runs", None),
        ("delivery.paused", "still", None),
        ("delivery.resumed", None, "paused"),
    ]


def test_a_portal_is_asked_nothing_in_a_pause() -> None:
    async def work() -> None:
        gate, asked = CircuitBreaker(LoopClock()), list[str]()

        class Client:
            async def portal(self) -> Any:
                asked.append("portal")
                return SimpleNamespace(portal_id=4711)

        settings: Any = SimpleNamespace(hubspot_portal_id=4711, hubspot_timeline="off", hubspot_id_property="email")
        portal = Portal(cast("Any", Client()), settings, gate, LoopClock(), cast("Any", None))
        gate.pause(PAUSED)
        checking = asyncio.create_task(portal.check())
        await asyncio.sleep(3600)
        assert asked == []

        gate.resume()
        await checking

        assert asked == ["portal"]

    run_fast(work())


@pytest.mark.parametrize(
    ("record", "paused"),
    [
        (said(Pause(at=SINCE, by="ada", note="an import runs")), PAUSED),
        (said(Pause(at=SINCE, note="of ada@example.com")), Paused(SINCE, "", "of a***@example.com")),
        (said(b'{"paused": true, "at": "2026-11-24T03:00:00Z", "more": 1}'), Paused(SINCE, "", "")),
        (said(b'{"paused": false, "at": "2026-11-24T03:00:00Z"}'), None),
        (said(None), None),
    ],
)
def test_a_control_is_a_pause_unless_it_says_otherwise(record: Any, paused: Paused | None) -> None:
    assert read_pause(record) == paused


@pytest.mark.parametrize("value", [b"", b"{}", b"no JSON", b'{"paused": "until noon", "at": "2026-11-24T03:00:00Z"}'])
def test_a_control_that_nobody_can_read_is_a_pause(value: bytes) -> None:
    paused = read_pause(said(value))

    assert paused is not None
    assert paused.since == SINCE
    assert "can't read" in paused.note


@pytest.mark.parametrize("timestamp", [-1, 2**63 - 1, -(2**63), 253402300800000, -62135596800001])
def test_a_control_may_have_any_number_for_the_time_of_its_record(timestamp: int) -> None:
    paused = read_pause(SimpleNamespace(key=SENDING, value=b"no JSON", timestamp=timestamp))

    assert paused is not None
    assert str(paused)


@pytest.mark.parametrize("time", UNTELLABLE)
def test_a_pause_since_a_time_that_no_utc_has_is_one_since_the_nearest_that_has(time: str) -> None:
    told = json.dumps({"at": time, "note": "an import runs"}).encode()
    paused, resumed = (read_pause(said(value)) for value in (told, told.replace(b"{", b'{"paused": false, ')))

    assert paused is not None
    assert (paused.note, resumed) == ("an import runs", None)
    assert utc(paused.since).endswith(" UTC")


async def test_the_last_that_is_said_holds_and_what_was_before_the_start_is_not_told() -> None:
    gate = CircuitBreaker(OwnedClock())
    controls = PauseControl({"bootstrap_servers": "localhost:1"}, "lifecycle.controls", OwnedClock(), gate)
    first, last = (Pause(at=SINCE, note=note) for note in ("first", "last"))
    with capture_logs() as lines:
        for record in (said(first), said(None), said(last), said(None, key=b"another")):
            controls._take_in(record)
        assert gate.paused is None, "nothing is obeyed before all of it is read"
        controls._read = True
        controls._apply()

        assert gate.paused == Paused(SINCE, "", "last")
        controls._take_in(said(None))

        assert gate.paused is None
    await controls.stop()
    assert [line["event"] for line in lines] == ["delivery.paused", "delivery.resumed"]


async def test_a_paused_worker_is_healthy_and_says_who_paused_it_and_what_else_there_is() -> None:
    parts = idle_parts()
    status = status_of(parts)
    status.health.ill("portal", "starting: asking HubSpot about its portal")
    parts.core.breaker.trip(REFUSED)
    parts.core.breaker.pause(PAUSED)
    transport = httpx.ASGITransport(endpoints(status, Telemetry()))
    async with httpx.AsyncClient(transport=transport, base_url="http://worker") as http:
        health = await http.get("/v1/health")
        report = (await http.get("/v1/status")).json()
        metrics = (await http.get("/metrics")).text

    assert health.status_code == 200
    assert health.json()["status"] == "halted"
    assert report["halted"] == {
        "reason": "paused",
        "detail": "an import runs (ada)",
        "since": "2026-11-24T03:00:00+00:00",
        "next_probe": None,
        "behind": {"reason": "token_refused", "detail": "401"},
    }
    assert 'hubspot_consumer_halted{reason="paused"} 1.0' in metrics
    parts.core.breaker.resume()
    assert status.report()["halted"]["next_probe"] == (START + timedelta(seconds=2)).isoformat()


def test_a_refusal_to_start_says_since_when_who_and_why() -> None:
    assert str(SendingPaused(PAUSED)) == (
        "sending is paused since 2026-11-24 03:00 UTC by ada: an import runs"
        " (`python -m hubspot_consumer resume` ends the pause)"
    )


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["pause"], "--note"),
        (["pause", "--note", "  "], "--note is empty: say why, for people on call"),
        (["pause", "--note", "x" * 301], "--note should have at most 300 characters"),
        (["pause", "--note", "x", "--by", "x" * 301], "--by should have at most 300 characters"),
        (["pause", "--note", "x"], "KAFKA_BOOTSTRAP_SERVERS is not set"),
        (["resume"], "KAFKA_BOOTSTRAP_SERVERS is not set"),
    ],
)
def test_what_is_asked_wrongly_is_refused_with_what_is_wrong(arguments: list[str], says: str) -> None:
    done = CliRunner().invoke(commands, arguments)

    assert done.exit_code == 2
    assert says in done.output
