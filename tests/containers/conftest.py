"""The containers. Starting them takes long: each file goes on with those that the file before it has left."""

from collections.abc import Iterator

import pytest

from sandbox.processes import listening
from tests.containers.composed import Composed
from tests.foreign.compose import services
from upkeep.containers.engine import answers


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(__file__.rpartition("/")[0]):
            item.add_marker(pytest.mark.containers)
            item.add_marker(pytest.mark.timeout(900))


@pytest.fixture(scope="session")
def composed() -> Iterator[Composed]:
    """The project, with nothing of it there before and after."""
    if not answers():
        pytest.skip("no Docker engine answers")
    project = Composed()
    project.down("--volumes")
    ports = [int(port.split(":")[1]) for service in services().values() for port in service.get("ports", [])]
    assert not [port for port in ports if listening(port)], "another program has a port of docker-compose.yml"
    yield project
    project.down("--volumes")
