"""HubSpot's newer SDK and the simulator: its strict models read each answer, and it sends what our client sends."""

import pytest

from sandbox.hubspot.records.portal import Portal
from tests.contract.sdk import endpoints
from tests.contract.sdk.tour import SDK_VERSION, MovedTransport, client, take_tour
from tests.samples import PORTAL_ID, TOKEN

hubspot_sdk = pytest.importorskip("hubspot_sdk", reason="HubSpot's newer SDK is in the dependency group `dev`")


@pytest.mark.parametrize("version", [SDK_VERSION, "2026-09"])
async def test_the_models_of_the_sdk_read_every_answer(version: str) -> None:
    portal = Portal(PORTAL_ID, [TOKEN])
    async with client(hubspot_sdk, MovedTransport(portal, version)) as sdk:
        await take_tour(sdk)

    statuses = {status for by_status in portal.log.by_path().values() for status in by_status}
    assert statuses == {"200", "201", "202", "204"}


@pytest.mark.filterwarnings("ignore:HTTPResponse.getheader:DeprecationWarning")
def test_the_table_of_endpoints_in_the_documentation_is_the_one_that_the_sdks_make() -> None:
    assert endpoints.table() == endpoints.written(), "write it by `python -m tests.contract.sdk.endpoints`"
