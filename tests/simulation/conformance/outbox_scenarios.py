"""What scenarios of the outbox are made of."""

from collections.abc import Callable
from typing import Any, Final

from producer.relay.outbox import Outbox
from tests.samples import PAYLOADS
from tests.simulation.conformance.outbox_sides import Scenario, Side, Writing

Run = Callable[[Scenario], None]
# Nothing that waits for a lock gets on within this time.
WAITS_S: Final = 0.1


def on_both(scenario: Scenario) -> Callable[[Run], None]:
    """Return the test that runs *scenario* on a side."""

    def test(run: Run) -> None:
        run(scenario)

    test.__doc__ = scenario.__doc__
    return test


def merchant(number: int) -> tuple[str, dict[str, Any]]:
    created = PAYLOADS["merchant_contact_created"]
    return "merchant_contact_created", {**created, "email": f"cafe{number}@example.com"}


async def committed(side: Side, *events: tuple[str, dict[str, Any]]) -> None:
    for event in events:
        writing = await side.begin()
        await writing.track(*event)
        await writing.commit()


async def begun(side: Side, *events: tuple[str, dict[str, Any]]) -> Writing:
    writing = await side.begin()
    for event in events:
        await writing.track(*event)
    return writing


async def positions(outbox: Outbox) -> list[int]:
    outbox.rewind()
    return [row.position for row in await outbox.head(100)]
