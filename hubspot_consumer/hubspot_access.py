"""The composition that several commands share: the client of HubSpot."""

from hubspot_consumer.hubspot.client import HubSpotClient
from hubspot_consumer.hubspot.connection import CallCounter, http_client
from hubspot_consumer.hubspot.daily_quota import DailyQuota
from hubspot_consumer.hubspot.rate_limiter import RateLimiter
from hubspot_consumer.settings import Settings
from runtime.clock import Clock


def hubspot_client(settings: Settings, clock: Clock, count: CallCounter) -> tuple[HubSpotClient, RateLimiter]:
    """Return the client of the portal in *settings*, and its rate limiter."""
    daily = DailyQuota(settings.hubspot_daily_limit, clock)
    limiter = RateLimiter(settings.hubspot_rate_limit, settings.hubspot_rate_window_s, daily, clock)
    http = http_client(settings.hubspot_api_base_url, settings.read_token)
    client = HubSpotClient(
        http,
        limiter,
        settings.hubspot_api_version,
        settings.hubspot_portal_id or 0,
        count,
        settings.hubspot_id_property,
    )
    return client, limiter
