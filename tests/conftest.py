"""Fixtures: the embedded stack, started once for all tests that ask for it.

Tests under `unit` and `contract` need no service. NERAVA_TEST_DATABASE_URL and NERAVA_TEST_KAFKA lead the same fixtures
to servers of one's own, and NERAVA_TEST_STACK=testcontainers to containers, for those who have Docker.
"""

import asyncio
import logging
import os
import sys
from collections.abc import AsyncIterator, Iterator
from functools import cache
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import settings

from tests.kafka.secured_brokers import authority, bearer_kafka, mutual_kafka, tokens

# Some machines, and most images, keep Python from storing its byte code. The tests would compile all of it for each of
# the hundreds of processes that they start, and rewrite all assertions at each run: half of the time before the first.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# No test is judged by the clock: the machine may be busy with others.
settings.register_profile("tests", deadline=None)
settings.load_profile("tests")

TESTS = Path(__file__).parent
# The fixtures of another file, which all tests may ask for.
__all__ = ["authority", "bearer_kafka", "mutual_kafka", "tokens"]


def pytest_configure() -> None:
    """Let our programs be forked from a process that has imported them."""
    from tests.forks import install

    install()


def pytest_collection_finish() -> None:
    """Let httpx load the certificates of the Web once, not for each client: that takes 50 ms of a core."""
    if "httpx" in sys.modules:
        from httpx._transports import default

        default.create_ssl_context = cache(default.create_ssl_context)  # type: ignore[attr-defined]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Let one process run all browser tests, which share what they start, and any process each other file."""
    from xdist.scheduler import LoadFileScheduling  # type: ignore[import-untyped]

    class Scheduling(LoadFileScheduling):  # type: ignore[misc] # xdist has no types
        def _split_scope(self, nodeid: str) -> str:
            return "tests/browser" if nodeid.startswith("tests/browser/") else str(super()._split_scope(nodeid))

    return Scheduling(config, log)


def pytest_unconfigure() -> None:
    from tests.forks import stop

    stop()


def _containers() -> bool:
    stack = os.environ.get("NERAVA_TEST_STACK", "")
    if stack not in ("", "testcontainers"):
        pytest.fail(f"NERAVA_TEST_STACK is {stack!r}; should be testcontainers, or not be set", pytrace=False)
    return stack == "testcontainers"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep what waits for servers out of the coverage figure: tracing costs time, and those tests are timed.

    Mark the integration tests that may run on containers instead.
    """
    for item in items:
        folder = item.path.relative_to(TESTS).parts[0]
        if folder not in ("unit", "contract"):
            item.add_marker("no_cover")
        if folder == "integration" and _uses_servers(item):
            item.add_marker("servers")


def _uses_servers(item: pytest.Item) -> bool:
    """Return whether a test has `kafka` or `postgres` among its fixtures, or among the servers that it is run on."""
    parameters = getattr(getattr(item, "callspec", None), "params", {})
    return not {"kafka", "postgres"}.isdisjoint({*getattr(item, "fixturenames", ()), parameters.get("any_postgres")})


@pytest.fixture
def none_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of ours in the environment."""
    from tests.commands import OURS

    for name in os.environ:
        if name.startswith(OURS):
            monkeypatch.delenv(name)


@pytest.fixture
def own_logs() -> Iterator[None]:
    """Logs that the test may set up, and commands that it runs: afterwards they are as they were."""
    import structlog

    from runtime import logs

    handlers, level, disabled = logging.root.handlers[:], logging.root.level, logging.root.manager.disable
    hook = sys.excepthook
    yield
    sys.excepthook = hook
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()
    # The log of `set_up` is cached at its first use.
    vars(logs.log).pop("bind", None)
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)
    logging.disable(disabled)


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A PostgreSQL server with `url`, `url_of` and `create_database`."""
    if _containers():
        from tests.foreign.containers import postgres_container

        with postgres_container() as server:
            yield server
        return
    from sandbox.postgres import EmbeddedPostgres
    from tests.foreign.own_servers import named_postgres

    if (named := named_postgres()) is not None:
        yield named
        return
    embedded = EmbeddedPostgres(tmp_path_factory.mktemp("postgres"))
    asyncio.run(embedded.start())
    yield embedded
    asyncio.run(embedded.stop())


@pytest.fixture(scope="session")
def older_postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The oldest PostgreSQL that is installed, with its own defaults; skips where there is none."""
    from tests.foreign.older_postgres import oldest_programs, running_postgres

    with running_postgres(tmp_path_factory.mktemp("older-postgres"), oldest_programs()) as server:
        yield server


@pytest.fixture(params=["postgres", "older_postgres"])
def any_postgres(request: pytest.FixtureRequest) -> Any:
    """Each of these servers in turn."""
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="session")
def migrated_template(postgres: Any) -> Iterator[str]:
    """The name of a database with the outbox in it, of which tests get copies."""
    from producer.migrations import migrate

    name = f"migrated_{uuid4().hex[:8]}"
    migrate(asyncio.run(postgres.create_database(name)))
    yield name
    asyncio.run(postgres.drop_database(name))


@pytest.fixture
def database_url(postgres: Any, migrated_template: str) -> Iterator[str]:
    """A database of the test's own, with the outbox in it."""
    name = f"test_{uuid4().hex[:8]}"
    yield asyncio.run(postgres.create_database(name, template=migrated_template))
    asyncio.run(postgres.drop_database(name))


@pytest.fixture
def engine(database_url: str) -> Iterator[Any]:
    """SQLAlchemy's way into that database; a connection for each use."""
    from sqlalchemy import create_engine, make_url
    from sqlalchemy.pool import NullPool

    engine = create_engine(make_url(database_url).set(drivername="postgresql+psycopg"), poolclass=NullPool)
    yield engine
    engine.dispose()


@pytest.fixture
def empty_database_url(postgres: Any) -> Iterator[str]:
    """A database of the test's own, with nothing in it."""
    name = f"test_{uuid4().hex[:8]}"
    yield asyncio.run(postgres.create_database(name))
    asyncio.run(postgres.drop_database(name))


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A Kafka broker with `bootstrap_servers`, shared: tests keep apart by `topic_prefix`."""
    if _containers():
        from tests.foreign.containers import kafka_container

        with kafka_container() as broker:
            yield broker
        return
    from sandbox.kafka import EmbeddedKafka
    from tests.foreign.own_servers import named_kafka

    with named_kafka() as broker:
        if broker is not None:
            yield broker
            return
    embedded = EmbeddedKafka(tmp_path_factory.mktemp("kafka"))
    asyncio.run(embedded.start())
    yield embedded
    asyncio.run(embedded.stop())


@pytest.fixture
def own_kafka(tmp_path: Path) -> Iterator[Any]:
    """A broker of the test's own, to be killed."""
    from sandbox.kafka import EmbeddedKafka
    from tests.foreign.own_servers import KAFKA, skip_without_embedded

    skip_without_embedded(KAFKA)
    broker = EmbeddedKafka(tmp_path / "kafka")
    asyncio.run(broker.start())
    yield broker
    asyncio.run(broker.kill())


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A certificate for 127.0.0.1, which only its own file vouches for."""
    from sandbox.certificate import Certificate

    return Certificate.make(tmp_path_factory.mktemp("certificate"))


@pytest.fixture(scope="session")
def secured_kafka(tmp_path_factory: pytest.TempPathFactory, certificate: Any) -> Iterator[Any]:
    """A broker that can be reached over TLS alone, and as a user: `environment` says how."""
    from sandbox.kafka import EmbeddedKafka
    from sandbox.listener import Secured
    from tests.foreign.own_servers import KAFKA, skip_without_embedded

    skip_without_embedded(KAFKA)
    listener = Secured(certificate, "open-sesame-kafka")
    embedded = EmbeddedKafka(tmp_path_factory.mktemp("secured-kafka"), listener=listener)
    asyncio.run(embedded.start())
    yield embedded
    asyncio.run(embedded.stop())


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Any:
    """What our services record, as if somebody had set OpenTelemetry up: see `tests/foreign/spans.py`."""
    from tests.foreign.spans import Spans

    recorded = Spans()
    monkeypatch.setattr("runtime.tracing._TRACER", recorded.tracer)
    return recorded


@pytest.fixture
def topic_prefix() -> str:
    """A prefix that no other test uses."""
    from tests.foreign.own_servers import new_prefix

    return new_prefix()


@pytest.fixture
async def pipeline(tmp_path: Path, kafka: Any, database_url: str, topic_prefix: str) -> AsyncIterator[Any]:
    """The whole path: see `tests/pipeline.py`."""
    from tests.pipeline import running_pipeline

    async with running_pipeline(tmp_path, kafka, database_url, topic_prefix) as running:
        yield running


@pytest.fixture(scope="module")
def connect(kafka: Any, postgres: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Kafka Connect. Fails with the coordinates and what to do where its jars are neither cached nor to be had."""
    import psycopg

    from sandbox.connect import EmbeddedConnect
    from tests.foreign.debezium import PASSWORD, ROLE

    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {ROLE} LOGIN REPLICATION PASSWORD '{PASSWORD}'".encode())
        environment = {"DATABASE_PASSWORD": PASSWORD}
        worker = EmbeddedConnect(
            tmp_path_factory.mktemp("connect"), kafka.bootstrap_servers, environment=environment, progress=print
        )
        asyncio.run(worker.start())
        yield worker
        asyncio.run(worker.stop())
        connection.execute(f"DROP ROLE {ROLE}".encode())


@pytest.fixture
async def debezium(connect: Any, kafka: Any, database_url: str, topic_prefix: str) -> AsyncIterator[Any]:
    """A connector onto topics under the test's prefix."""
    from sandbox.stack import create_topics
    from schemas.topics import Topics
    from tests.foreign.debezium import debezium_of
    from tests.pipeline import PARTITIONS

    await create_topics(kafka.bootstrap_servers, Topics(topic_prefix), PARTITIONS)
    async with debezium_of(connect, database_url, Topics(topic_prefix)) as made:
        yield made
