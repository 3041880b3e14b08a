"""Provisioning of the simulated portal by the code of `python -m hubspot_consumer provision --apply`."""

from typing import Final

import httpx
from pydantic import SecretStr

from hubspot_consumer.hubspot.client import HubSpotClient
from hubspot_consumer.hubspot.connection import http_client
from hubspot_consumer.hubspot.daily_quota import DailyQuota
from hubspot_consumer.hubspot.rate_limiter import RateLimiter
from hubspot_consumer.hubspot.schema import EMAIL
from hubspot_consumer.provisioning.provision import Provision
from runtime.clock import SystemClock
from sandbox.hubspot.app import simulator_app
from sandbox.hubspot.http.request_log import RequestLog
from sandbox.hubspot.records.portal import Portal

VERSION: Final = "2026-03"
# The setup has its own token, so its calls do not count towards the burst quota of the app under test.
SETUP_TOKEN: Final = "pat-na1-00000000-0000-4000-8000-00000000000f"  # noqa: S105 - only the simulator accepts it
MANY_CALLS: Final = 10_000


async def provision(portal: Portal, id_property: str = EMAIL) -> None:
    """Create the property group, properties and event definitions in *portal*; its request log stays empty."""
    quota = portal.settings.quota
    portal.change_settings(quota=MANY_CALLS)
    portal.tokens.add(SETUP_TOKEN)
    transport = httpx.ASGITransport(simulator_app(portal))
    async with http_client("http://simulator", lambda: SecretStr(SETUP_TOKEN), transport) as http:
        clock = SystemClock()
        rate_limiter = RateLimiter(MANY_CALLS, portal.settings.window_s, DailyQuota(MANY_CALLS, clock), clock)
        client = HubSpotClient(http, rate_limiter, VERSION, portal.portal_id, id_property=id_property)
        provision = Provision(client)
        for missing in (await provision.plan()).missing:
            await provision.create(missing)
    portal.tokens.revoke(SETUP_TOKEN)
    portal.change_settings(quota=quota)
    portal.log = RequestLog()
