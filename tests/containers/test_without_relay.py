"""The containers with Debezium in the relay's place."""

from sandbox.simulator import Simulator
from tests.containers.composed import Composed
from tests.containers.test_services import PROFILES, reaches, track


async def test_debezium_brings_an_event_to_the_simulator_where_no_relay_runs(composed: Composed) -> None:
    # This stops the relays that other tests have left.
    composed.up(f"{PROFILES} --profile debezium --scale producer=0")

    track(composed, "dora@example.com")

    async with Simulator("http://127.0.0.1:8090") as simulator:
        await reaches(simulator, "dora@example.com")
    assert composed.compose("ps", "--all", "--quiet", "producer") == ""
