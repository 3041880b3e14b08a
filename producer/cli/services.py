"""`python -m producer relay` and `serve`: the relay, and the HTTP endpoints beside it."""

from contextlib import AsyncExitStack

from producer.intake.endpoints import add_intake
from producer.intake.intake import Intake
from producer.relay.service import Service
from producer.settings import Settings
from runtime.commands import EXIT_WITHIN_S, run_service, start_command, stop_signal
from runtime.http.server import application, serving
from runtime.logs import log


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
    service = Service(settings)
    async with AsyncExitStack() as stack:
        if http:
            await _answer(settings, service, stack)
        log.info("service.starting", port=settings.producer_port if http else None)
        await service.run(stop)
    log.info("service.stopped")


async def _answer(settings: Settings, service: Service, stack: AsyncExitStack) -> None:
    """Serve HTTP until *stack* ends."""
    health, relay, telemetry = service.health, service.relay, service.telemetry
    intake = {"intake": "on"} if settings.intake_tokens else {}
    app = application(
        "Outbox producer",
        unwell=lambda: health.unwell,
        also=lambda: relay.state | intake,
        metrics=telemetry.registry,
        status=lambda: {**relay.state, "unwell": health.unwell, "settings": settings.in_force()},
    )
    if settings.intake_tokens:
        taking = await stack.enter_async_context(Intake(settings.database, health))
        add_intake(app, taking, settings.intake_tokens, telemetry)
    await stack.enter_async_context(serving(app, settings.producer_port, "PRODUCER_PORT"))
