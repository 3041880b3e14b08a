"""Services that tests of this folder start are forks, which import nothing again: see `tests/forked.py`."""

from collections.abc import Iterator

import pytest

from sandbox.services import Service
from tests.forked import start


def launch(service: Service) -> None:
    """Start a service as `Service.launch` does, of which only the imports are spared."""
    start(service, *service._command[2:], environment=service._environment)


@pytest.fixture(scope="module", autouse=True)
def forked_services() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Service, "launch", launch)
        yield
