"""A provisioned portal whose quota no test uses up."""

import asyncio

import pytest

from sandbox.hubspot.records.portal import Portal
from sandbox.provisioned import provision
from tests.samples import PORTAL_ID, TOKEN


@pytest.fixture(scope="module")
def provisioned() -> Portal:
    portal = Portal(PORTAL_ID, [TOKEN], quota=10**6, daily_limit=10**6)
    asyncio.run(provision(portal))
    return portal
