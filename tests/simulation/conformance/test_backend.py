"""The events of a simulation's backend: valid ones, of which the model makes the same rows as PostgreSQL."""

from random import Random
from typing import Any

import pytest

from producer.relay.row import Row
from producer.tracking import checked
from sandbox.day.traffic import TIME_FIELDS
from schemas.events import EVENTS
from tests.samples import AT
from tests.simulation.conformance.outbox_scenarios import committed
from tests.simulation.conformance.outbox_sides import Side, run_on_model, run_on_server
from tests.simulation.outbox.backend import planned


def test_the_events_of_a_backend_become_the_same_rows(database_url: str) -> None:
    rows: list[list[tuple[Any, ...]]] = []

    async def scenario(side: Side) -> None:
        for event_type, payload in planned(Random(1), contacts=10, events=100, email_changes=0.1):
            await committed(side, (event_type, {**payload, TIME_FIELDS[event_type]: AT}))
        outbox = await side.outbox()
        rows.append([(row.position, *row[2:5], without_id(row)) for row in await outbox.head(1_000)])

    run_on_model(scenario)
    run_on_server(database_url, scenario)

    assert len(rows[0]) >= 100
    assert rows[0] == rows[1]


@pytest.mark.parametrize("seed", range(5))
def test_a_backend_of_a_simulation_tracks_valid_events(seed: int) -> None:
    events = planned(Random(seed), contacts=30, events=300, email_changes=0.1)

    assert {event_type for event_type, _ in events} == set(EVENTS)
    for event_type, payload in events:
        named = {**payload, TIME_FIELDS[event_type]: AT}
        assert checked(event_type, named) == named


def without_id(row: Row) -> str:
    return str(row.payload).replace(row.id, "")
