"""`python -m producer relay` and `serve`, which wire all objects of the producer."""

import asyncio
import random
from collections.abc import Coroutine
from contextlib import AsyncExitStack, suppress
from functools import partial
from typing import Any, Final, NoReturn

from producer.intake.endpoints import add_intake
from producer.intake.intake import Intake
from producer.relay.outbox import Outbox
from producer.relay.relay import Relay
from producer.relay.sender import Sender
from producer.relay.watch import Watch
from producer.settings import Settings
from producer.telemetry import Telemetry
from runtime.clock import Clock, SystemClock
from runtime.commands import EXIT_WITHIN_S, run_service, start_command, stop_signal
from runtime.health import Health
from runtime.http.server import application, serving
from runtime.journal import keep_journal, reading
from runtime.logs import log

# Limit for the end of publishing. Rows that Kafka has not acknowledged by then stay in the outbox.
FINISH_WITHIN_S: Final = 5.0


def relay() -> None:
    """Publish the outbox to Kafka, until SIGTERM. Several relays may run: one is active, the others stand by."""
    _run(http=False)


def serve() -> None:
    """Run the relay, and answer /v1/health, /v1/health/live and /metrics on PRODUCER_PORT.

    With PRODUCER_INTAKE_TOKEN, accept events of other services too, at POST /v1/events/{type}; /docs explains it.
    """
    _run(http=True)


def _run(*, http: bool) -> None:
    settings = start_command(Settings)
    run_service(_publish(settings, http=http))


async def _publish(settings: Settings, *, http: bool) -> None:
    stop = stop_signal(exit_within_s=EXIT_WITHIN_S)
    clock, health, telemetry = SystemClock(), Health(), Telemetry()
    connect = partial(Outbox.connect, settings.database_url.get_secret_value(), clock, settings.outbox_retention)
    kafka = settings.client_options()
    sender = Sender(kafka, settings.topics, clock, telemetry, settings.kafka_compression)
    relay = Relay(
        connect,
        sender,
        health=health,
        telemetry=telemetry,
        jitter=random.Random(),  # noqa: S311 - jitter for retries, not for security
    )
    telemetry.shows(health)
    watch = Watch(
        connect,
        kafka,
        settings.topics,
        clock=clock,
        health=health,
        telemetry=telemetry,
        tell_partitions=sender.has_to_heed,
        login_refused=partial(_read_password_again, settings, kafka),
    )
    async with AsyncExitStack() as stack:
        if http:
            intake = {"intake": "on"} if settings.intake_tokens else {}
            app = application(
                "Outbox producer",
                unwell=lambda: health.unwell,
                also=lambda: relay.state | intake,
                metrics=telemetry.registry,
                status=lambda: {**relay.state, "unwell": health.unwell, "settings": settings.in_force()},
            )
            if settings.intake_tokens:
                taking = await stack.enter_async_context(Intake(settings.database_url.get_secret_value()))
                add_intake(app, taking, settings.intake_tokens, telemetry)
            await stack.enter_async_context(serving(app, settings.producer_port, "PRODUCER_PORT"))
        log.info("service.starting", port=settings.producer_port if http else None)
        await watch.refuse_at_once()
        await _until_stopped(stop, relay.run(stop), watch.run(), _journal(telemetry, clock))
    log.info("service.stopped")


def _read_password_again(settings: Settings, kafka: dict[str, Any]) -> None:
    """Put Kafka's password into *kafka*, the options of every client, if its file has another one by now."""
    # A file that is just being replaced is read at the next refusal.
    with suppress(ValueError):
        if password := settings.read_again("kafka_sasl_password"):
            kafka["sasl_plain_password"] = password.get_secret_value()


async def _until_stopped(
    stop: asyncio.Event, relaying: Coroutine[Any, Any, None], *beside: Coroutine[Any, Any, NoReturn]
) -> None:
    async with asyncio.TaskGroup() as tasks:
        relay, *others = [tasks.create_task(work) for work in (relaying, *beside)]
        await stop.wait()
        await asyncio.wait({relay}, timeout=FINISH_WITHIN_S)
        for task in (relay, *others):
            task.cancel()


def _journal(telemetry: Telemetry, clock: Clock) -> Coroutine[Any, Any, NoReturn]:
    counters = {
        "published": telemetry.published,
        "dead_letters": telemetry.dead_letters,
        "faults": telemetry.faults,
        "intake_requests": telemetry.intake,
    }

    def now() -> dict[str, float]:
        gauges = {"active": telemetry.active, "backlog": telemetry.backlog, "oldest_s": telemetry.oldest}
        return {name: reading(gauge) for name, gauge in gauges.items()}

    return keep_journal(partial(log.info, "relay.progress"), counters, now, clock)
