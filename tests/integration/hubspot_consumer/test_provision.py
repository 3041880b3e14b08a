"""`python -m hubspot_consumer provision`: says what it would create, creates it once, and names what differs."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sandbox.simulator import PORTAL_ID, TOKEN, Simulator
from tests.commands import Done, run
from tests.simulators import running_simulator

MANY_CALLS = 10_000


@pytest.fixture
async def simulator(tmp_path: Path) -> AsyncIterator[Simulator]:
    """A portal that was never provisioned."""
    async with running_simulator(tmp_path, "--empty") as simulator:
        await simulator.change_settings(quota=MANY_CALLS)
        yield simulator


async def provision(simulator: Simulator, *arguments: str, **environment: str) -> Done:
    settings = {
        "HUBSPOT_PRIVATE_APP_TOKEN": TOKEN,
        "HUBSPOT_PORTAL_ID": str(PORTAL_ID),
        "HUBSPOT_API_BASE_URL": simulator.url,
        "HUBSPOT_RATE_LIMIT": str(MANY_CALLS),
    }
    return await run("hubspot_consumer", "provision", *arguments, environment=settings | environment)


async def test_an_empty_portal_is_provisioned_once(simulator: Simulator) -> None:
    planned = await provision(simulator)
    first = await provision(simulator, "--apply")
    second = await provision(simulator, "--apply")

    assert (planned.code, first.code, second.code) == (0, 0, 0)
    what = [line.split(maxsplit=1)[1] for line in planned.output.splitlines() if line.startswith("missing")]
    assert "property group nerava" in what
    assert planned.output.splitlines()[-1] == f"{len(what)} to create: run again with --apply"
    assert first.output.splitlines() == [f"created   {one}" for one in what]
    assert second.output == "the portal lacks nothing\n"


async def test_what_differs_is_named_and_ends_with_1(simulator: Simulator) -> None:
    await provision(simulator, "--apply")
    await simulator.change_property("nerava_role", type="string", fieldType="text", options=[])

    done = await provision(simulator, "--apply")

    assert done.code == 1
    assert "differs   property nerava_role is of type string, and should be enumeration" in done.output


async def test_a_tier_without_custom_events_gets_the_rest(simulator: Simulator) -> None:
    await simulator.change_settings(custom_events=False)

    auto = await provision(simulator, "--apply")
    asked_for = await provision(simulator, "--apply", HUBSPOT_TIMELINE="custom_events")

    assert (auto.code, asked_for.code) == (0, 1)
    assert "refused   custom events: the timeline gets notes or nothing" in auto.output
    assert "created   property nerava_role" in auto.output
    assert "event nerava" not in auto.output
