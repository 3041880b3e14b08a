"""An intake for tests that are no coroutines, as those of Hypothesis are."""

import asyncio
from collections.abc import Iterator

import pytest

from tests.outbox.intake import Caller, calling


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as running:
        yield running


@pytest.fixture
def caller(runner: asyncio.Runner, database_url: str) -> Iterator[Caller]:
    context = calling(database_url)
    yield runner.run(context.__aenter__())
    runner.run(context.__aexit__(None, None, None))
