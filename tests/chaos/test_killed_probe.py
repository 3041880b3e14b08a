"""`kill -9` of a probe in the middle of its calls: the next one deletes what it left, and finds what is there."""

import json
from pathlib import Path

import pytest

from sandbox.processes import free_port
from sandbox.services import READY_WITHIN_S, Service
from sandbox.services import simulator as simulator_process
from sandbox.simulator import PORTAL_ID, TOKEN, Simulator
from tests.commands import run
from tests.polling import eventually

pytestmark = [pytest.mark.timeout(180), pytest.mark.chaos]


@pytest.mark.parametrize("at", [4, 12, 24])
async def test_a_killed_probe_leaves_nothing_that_the_next_does_not_delete(tmp_path: Path, at: int) -> None:
    process = simulator_process(tmp_path, free_port())
    process.launch()
    environment = {
        "HUBSPOT_PRIVATE_APP_TOKEN": TOKEN,
        "HUBSPOT_PORTAL_ID": str(PORTAL_ID),
        "HUBSPOT_API_BASE_URL": process.url,
    }
    async with Simulator(process.url) as simulator:
        await process.until(simulator.answers, within_s=READY_WITHIN_S)
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
    await process.kill()


async def seen(simulator: Simulator) -> list[str]:
    """Return the emails of the contacts that are not deleted."""
    contacts = (await simulator.accepted()).contacts
    return [email for email, contact in contacts.items() if not contact["archived"]]
