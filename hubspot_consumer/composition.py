"""Composition: what several commands wire alike."""

from functools import partial

from hubspot_consumer.hubspot.client import CallCounter, HubSpotClient
from hubspot_consumer.hubspot.connection import http_client
from hubspot_consumer.hubspot.daily_quota import DailyQuota
from hubspot_consumer.hubspot.pacing import Pacing
from hubspot_consumer.settings import Settings
from hubspot_consumer.status import Status
from hubspot_consumer.telemetry import Telemetry
from runtime.clock import Clock
from runtime.journal import Journal
from runtime.logs import logger

log = logger()


def hubspot_client(settings: Settings, clock: Clock, count: CallCounter) -> tuple[HubSpotClient, Pacing]:
    """Return the client of the settings' portal, and what paces it."""
    daily = DailyQuota(settings.hubspot_daily_limit, clock)
    pacing = Pacing(settings.hubspot_rate_limit, settings.hubspot_rate_window_s, daily, clock)
    http = http_client(settings.hubspot_api_base_url, settings.read_token)
    portal_id = settings.hubspot_portal_id or 0
    return HubSpotClient(http, pacing, settings.hubspot_api_version, portal_id, count), pacing


def worker_journal(status: Status, telemetry: Telemetry, clock: Clock) -> Journal:
    """Return the journal of a worker."""
    counters = {
        "read": telemetry.read,
        "delivered": telemetry.events_delivered,
        "dead_letters": telemetry.dead_letters,
        "calls": telemetry.calls,
    }
    return Journal(partial(log.info, "worker.progress"), counters, status.in_a_line, clock)
