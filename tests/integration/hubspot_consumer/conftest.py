"""Services that tests of this folder start are forks, which import nothing again: see `tests/forked.py`."""

import os
from collections.abc import Iterator

import pytest

from sandbox.services import Service
from tests.forked import forks


def launch(service: Service) -> None:
    """Start a service as `Service.launch` does, of which only the imports are spared."""
    module, *arguments = service._command[2:]
    service.log.parent.mkdir(parents=True, exist_ok=True)
    with service.log.open("ab") as output:
        environment = {**os.environ, **service._environment}
        service._process = forks.start(module, arguments, environment, output, output)  # type: ignore[assignment]


@pytest.fixture(scope="module", autouse=True)
def forked_services() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Service, "launch", launch)
        yield
