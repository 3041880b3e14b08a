"""`python -m hubspot_consumer worker`: read the topics and deliver, until SIGTERM or SIGINT."""

from functools import partial

from hubspot_consumer.metrics import Telemetry
from hubspot_consumer.reprocessing.resync import resync_contacts
from hubspot_consumer.settings import Settings
from hubspot_consumer.worker.service import Service
from hubspot_consumer.worker.status import Status, endpoints
from runtime import logs
from runtime.commands import EXIT_WITHIN_S, read_settings, run_service, stop_signal
from runtime.health import Health
from runtime.http.server import serving
from runtime.logs import log


def worker() -> None:
    """Read the seven topics and deliver to HubSpot.

    With HUBSPOT_ENABLED=false it is healthy and reads nothing. With HUBSPOT_SEND_LIVE=false it is a dry run: it logs
    what it would write, calls nothing, and a later live run skips nothing. On SIGTERM it delivers what it has read, and
    exits with 0.
    """
    settings = read_settings(Settings)
    logs.set_up(level=settings.log_level, secrets=settings.secrets)
    run_service(_work(settings))


async def _work(settings: Settings) -> None:
    stop, telemetry = stop_signal(exit_within_s=EXIT_WITHIN_S), Telemetry()
    service = None if settings.mode == "disabled" else Service(settings, telemetry, partial(resync_contacts, settings))
    status = service.status if service else Status(settings.mode, Health(), settings.in_force(), None)
    log.info("service.starting", mode=settings.mode, group=settings.group, port=settings.consumer_port)
    async with serving(endpoints(status, telemetry), settings.consumer_port, "CONSUMER_PORT"):
        await (service.run(stop) if service else stop.wait())
