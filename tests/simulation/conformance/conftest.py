"""Each scenario of the outbox runs on both sides."""

from collections.abc import Callable
from functools import partial

import pytest

from tests.simulation.conformance.outbox_sides import Scenario, run_on_model, run_on_server


@pytest.fixture(params=["model", "server"])
def run(request: pytest.FixtureRequest) -> Callable[[Scenario], None]:
    """Run a scenario of the outbox."""
    if request.param == "model":
        return run_on_model
    return partial(run_on_server, request.getfixturevalue("database_url"))
