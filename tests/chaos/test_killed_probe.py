"""`kill -9` of a probe in the middle of its calls: the next one deletes what it left, and finds what is there."""

import json
from pathlib import Path

import pytest

from sandbox.services import Service
from sandbox.simulator import PORTAL_ID, TOKEN, Simulator
from tests.commands import run
from tests.polling import eventually
from tests.simulators import running_simulator

pytestmark = [pytest.mark.timeout(180), pytest.mark.chaos]


@pytest.mark.parametrize("at", [4, 12, 24])
async def test_a_killed_probe_leaves_nothing_that_the_next_does_not_delete(tmp_path: Path, at: int) -> None:
    async with running_simulator(tmp_path) as simulator:
        environment = {
            "HUBSPOT_PRIVATE_APP_TOKEN": TOKEN,
            "HUBSPOT_PORTAL_ID": str(PORTAL_ID),
            "HUBSPOT_API_BASE_URL": simulator.url,
        }
        probe = Service("probe", ["hubspot_consumer", "probe", "--yes"], tmp_path, environment)
        probe.launch()

        async def made() -> bool:
            by_path: dict[str, dict[str, int]] = (await simulator.statistics())["calls"]
            return sum(number for statuses in by_path.values() for number in statuses.values()) >= at

        await eventually(made, within_s=60, every_s=0.02, saying=f"the probe has made {at} calls")
        await probe.kill()
        assert await seen(simulator), "it leaves test contacts"

        done = await run("hubspot_consumer", "probe", "--yes", "--json", environment=environment)

        told = json.loads(done.output)
        assert (done.code, told["left"]) == (0, None), done
        assert told["leftovers_deleted"] > 0
        assert await seen(simulator) == []
        assert (await simulator.statistics())["notes"] == 0


async def seen(simulator: Simulator) -> list[str]:
    """Return the emails of the contacts that are not deleted."""
    contacts = (await simulator.accepted()).contacts
    return [email for email, contact in contacts.items() if not contact["archived"]]
