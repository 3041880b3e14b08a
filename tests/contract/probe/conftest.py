"""A provisioned portal with a contact of its people."""

import asyncio

import pytest

from sandbox.hubspot.records.portal import Portal
from sandbox.provisioned import provision
from tests.contract.probe.probing import MANY_CALLS, with_a_person
from tests.samples import ID_PROPERTY, PORTAL_ID, TOKEN


@pytest.fixture(scope="module")
def provisioned() -> Portal:
    portal = Portal(PORTAL_ID, [TOKEN])
    asyncio.run(provision(portal, ID_PROPERTY))
    portal.change_settings(quota=MANY_CALLS)
    with_a_person(portal)
    return portal
