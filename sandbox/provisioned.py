"""A portal as `python -m hubspot_consumer provision --apply` leaves it, made by that very code."""

from typing import Final

import httpx
from pydantic import SecretStr

from hubspot_consumer.hubspot.client import HubSpotClient
from hubspot_consumer.hubspot.connection import http_client
from hubspot_consumer.hubspot.daily_quota import DailyQuota
from hubspot_consumer.hubspot.paths import PATHS
from hubspot_consumer.hubspot.rate_limiter import RateLimiter
from hubspot_consumer.provisioning.provision import Provision
from runtime.clock import SystemClock
from sandbox.hubspot.app import simulator_app
from sandbox.hubspot.http.request_log import RequestLog
from sandbox.hubspot.records.portal import Portal

VERSION: Final = "2026-03"
# An app of its own: what it calls is not in the quota of the app under test.
SETUP_TOKEN: Final = "pat-na1-00000000-0000-4000-8000-00000000000f"  # noqa: S105 - valid at the simulator alone
MANY_CALLS: Final = 10_000


async def provision(portal: Portal) -> None:
    """Create the property group, properties and event definitions in *portal*; its quota and request log stay new."""
    quota = portal.settings.quota
    portal.change_settings(quota=MANY_CALLS)
    portal.tokens.add(SETUP_TOKEN)
    transport = httpx.ASGITransport(simulator_app(portal))
    async with http_client("http://simulator", lambda: SecretStr(SETUP_TOKEN), transport) as http:
        clock = SystemClock()
        rate_limiter = RateLimiter(MANY_CALLS, portal.settings.window_s, DailyQuota(MANY_CALLS, clock), clock)
        client = HubSpotClient(http, rate_limiter, VERSION, portal.portal_id, lambda _call: None)
        provision = Provision(client, PATHS[VERSION])
        for missing in (await provision.plan()).missing:
            await provision.create(missing)
    portal.tokens.revoke(SETUP_TOKEN)
    portal.change_settings(quota=quota)
    portal.log = RequestLog()
