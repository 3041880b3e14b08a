"""A portal of the test's own, and a bare HTTP client that holds its token."""

from collections.abc import AsyncIterator

import httpx
import pytest

from sandbox.hubspot.app import simulator_app
from sandbox.hubspot.records.portal import Portal
from tests.samples import PORTAL_ID, TOKEN


@pytest.fixture
def portal() -> Portal:
    return Portal(PORTAL_ID, [TOKEN])


@pytest.fixture
async def hubspot(portal: Portal) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=simulator_app(portal))
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with httpx.AsyncClient(transport=transport, base_url="http://hubspot", headers=headers) as client:
        yield client
