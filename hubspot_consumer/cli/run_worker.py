"""`worker`: read the topics and deliver, until told to stop."""

from hubspot_consumer.cli.exit_codes import run
from hubspot_consumer.metrics import Telemetry
from hubspot_consumer.settings import Settings
from hubspot_consumer.worker.endpoints import endpoints
from hubspot_consumer.worker.status import Status
from hubspot_consumer.worker.wiring import wire
from runtime import logs
from runtime.commands import EXIT_WITHIN_S, read_settings, stop_signal
from runtime.health import Health
from runtime.logs import logger
from runtime.server import serving

log = logger()


def worker() -> None:
    """Read the seven topics and deliver to HubSpot.

    HUBSPOT_ENABLED=false: up and healthy, reads nothing. HUBSPOT_SEND_LIVE=false: a dry run that logs what it would
    write, calls nothing, and skips nothing for the live run later. SIGTERM: delivers what it has read, exits 0.
    """
    settings = read_settings(Settings)
    logs.set_up(level=settings.log_level, secrets=settings.secrets)
    run(_work(settings))


async def _work(settings: Settings) -> None:
    stop, telemetry = stop_signal(exit_within_s=EXIT_WITHIN_S), Telemetry()
    service = None if settings.mode == "disabled" else wire(settings, telemetry)
    status = service.status if service else Status(settings.mode, Health(), settings.in_force(), None)
    log.info("service.starting", mode=settings.mode, group=settings.group, port=settings.consumer_port)
    async with serving(endpoints(status, telemetry), settings.consumer_port, "CONSUMER_PORT"):
        await (service.run(stop) if service else stop.wait())
