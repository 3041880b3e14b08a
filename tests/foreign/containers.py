"""The same services from the images of docker-compose.yml: NERAVA_TEST_STACK=testcontainers asks for them.

A container lives as long as the process that started it, however that ends, and leaves nothing. So the library's
reaper, one image more, has nothing to do. The engine has to run on this machine.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Final

import pytest
from docker.errors import DockerException  # type: ignore[import-not-found] # mypy looks in our folder of that name
from testcontainers.core.config import testcontainers_config
from testcontainers.core.container import DockerContainer
from testcontainers.core.wait_strategies import ExecWaitStrategy, LogMessageWaitStrategy
from testcontainers.core.waiting_utils import WaitStrategy

from sandbox import kafka, postgres
from sandbox.processes import free_port
from tests.foreign.compose import services
from tests.foreign.own_servers import OwnKafka, OwnPostgres

VARIABLE: Final = "NERAVA_TEST_STACK"
LOCALHOST: Final = "127.0.0.1"
# This process holds the container's input open, and the kernel closes it with this process: then `cat`, which is the
# container's first process, ends, and the server with it.
WHILE_INPUT_IS_OPEN: Final = '"$@" & exec cat >/dev/null'
HOST_BASED_AUTHENTICATION: Final = """\
local all all trust
host all all all trust
host replication all all trust
"""


@contextmanager
def postgres_container() -> Iterator[OwnPostgres]:
    """A server with the options of the embedded one, and the image's own collation."""
    options = {**postgres.OPTIONS, "hba_file": "/pg_hba.conf"}
    container = _container("postgres").with_env("POSTGRES_PASSWORD", "unused")
    container.with_copy_into_container(HOST_BASED_AUTHENTICATION.encode(), "/pg_hba.conf")
    container.with_tmpfs_mount("/var/lib/postgresql")
    command = ["docker-entrypoint.sh", "postgres", *(f"--{name}={value}" for name, value in options.items())]
    port = free_port()
    # Only by TCP: while the image sets itself up, PostgreSQL listens on its socket.
    with _running(container, command, {5432: port}, ExecWaitStrategy(["pg_isready", "--host", LOCALHOST])):
        yield OwnPostgres(f"postgresql://postgres@{LOCALHOST}:{port}/postgres", VARIABLE)


@contextmanager
def kafka_container() -> Iterator[OwnKafka]:
    """A broker with the settings of the embedded one."""
    port = free_port()
    container = _container("kafka").with_envs(**_kafka_environment(port))
    container.with_tmpfs_mount("/data")
    with _running(container, ["/etc/kafka/docker/run"], {port: port}, LogMessageWaitStrategy("Kafka Server started")):
        yield OwnKafka(f"{LOCALHOST}:{port}", VARIABLE)


def _kafka_environment(port: int) -> Mapping[str, str]:
    text = kafka.PROPERTIES.format(
        protocol="PLAINTEXT",
        port=port,
        number=1,
        voters=f"1@{LOCALHOST}:{port + 1}",
        controller_port=port + 1,
        copies=1,
        in_sync=1,
        session_ms=kafka.SESSION_MS,
        data="/data",
        auto_create="true",
        listener="",
    )
    properties = dict(line.split("=", 1) for line in text.splitlines() if line)
    # The engine hands connections to the container's own address.
    properties["listeners"] = properties["listeners"].replace(f"{LOCALHOST}:{port}", f":{port}")
    return {
        **{f"KAFKA_{name.upper().replace('.', '_')}": value for name, value in properties.items()},
        "CLUSTER_ID": kafka.CLUSTER_ID,
        "KAFKA_HEAP_OPTS": "-Xmx384m",
        "KAFKA_OPTS": "-XX:TieredStopAtLevel=1",
    }


def _container(service: str) -> DockerContainer:
    """Return a container of the image that *service* has in docker-compose.yml."""
    try:
        return DockerContainer(services()[service]["image"])
    except DockerException as error:
        pytest.fail(f"{VARIABLE} asks for containers, and no Docker engine answers: {error}", pytrace=False)


@contextmanager
def _running(
    container: DockerContainer, command: Sequence[str], ports: Mapping[int, int], ready: WaitStrategy
) -> Iterator[None]:
    """The container, once it is *ready*; of its *ports*, this machine alone sees those that they lead to."""
    testcontainers_config.ryuk_disabled = True
    for inside, outside in ports.items():
        container.ports[str(inside)] = (LOCALHOST, outside)  # type: ignore[assignment] # Docker takes an address, too
    container.with_command(list(command)).with_kwargs(
        entrypoint=["sh", "-c", WHILE_INPUT_IS_OPEN, "sh"], stdin_open=True, auto_remove=True
    )
    with ExitStack() as afterwards, container:
        # The input is closed last: what removes itself can't be removed.
        attached = container.get_wrapped_container().attach_socket(params={"stdin": 1, "stream": 1})
        afterwards.callback(attached._response.close)
        ready.with_poll_interval(0.1).with_startup_timeout(90).wait_until_ready(container)
        yield
