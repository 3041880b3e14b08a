"""Each program as a user of its own, with the rights that `producer topics --acls` grants, on a broker that checks."""

import asyncio
import shlex
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from aiokafka.errors import TopicAuthorizationFailedError

from console.web.access import CSRF_HEADER
from runtime.kafka.acls import PROGRAMS
from runtime.kafka.connection import KafkaConnection
from runtime.kafka.topic_writer import connected_producer
from sandbox.java import jars, java
from sandbox.kafka import EmbeddedKafka
from sandbox.listener import Secured
from schemas.topics import Topics
from tests.commands import run
from tests.console.server import csrf_of, sign_in
from tests.pipeline import OPERATOR_TOKEN, Pipeline, running_pipeline

pytestmark = [pytest.mark.timeout(600), pytest.mark.chaos]

PASSWORD = "open-sesame-acls"
# Contains kafka-acls.sh's class.
TOOLS = "org.apache.kafka:kafka-tools:4.1.0+org.slf4j:slf4j-nop:1.7.36"
USERS = [program.user for program in PROGRAMS]


@dataclass(frozen=True)
class Authorizing(Secured):
    """A listener with a user for each program. Who has no right to something may not do it."""

    @property
    def properties(self) -> str:
        users = "".join(f' user_{user}="{self.password}"' for user in USERS)
        # Brokers and controllers have one process, and talk to each other without a login.
        authorizer = (
            "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users=User:broker;User:nerava;User:ANONYMOUS",
            "allow.everyone.if.no.acl.found=false",
        )
        return "\n".join((super().properties.replace(" user_nerava=", f"{users} user_nerava="), *authorizer))


@pytest.fixture
async def pipeline(tmp_path: Path, database_url: str, topic_prefix: str) -> AsyncIterator[Pipeline]:
    broker = EmbeddedKafka(tmp_path / "kafka", listener=Authorizing(None, PASSWORD, "PLAIN"), auto_create=False)
    await broker.start()
    try:
        async with running_pipeline(tmp_path, broker, database_url, topic_prefix, topics=False) as running:
            running.environment |= broker.environment
            await grant(running, tmp_path)
            yield running
    finally:
        await broker.kill()


async def grant(pipeline: Pipeline, directory: Path) -> None:
    """Run the commands that are printed, as an administrator does."""
    options = ("topics", "--acls", "--group", pipeline.environment["CONSUMER_GROUP"])
    printed = await run("producer", *options, environment=pipeline.environment)
    assert printed.code == 0, printed
    login = 'org.apache.kafka.common.security.plain.PlainLoginModule required username="{}" password="{}";'
    properties = directory / "admin.properties"
    properties.write_text(
        f"security.protocol=SASL_PLAINTEXT\nsasl.mechanism=PLAIN\nsasl.jaas.config={login.format('nerava', PASSWORD)}\n"
    )
    class_path = await asyncio.to_thread(jars, TOOLS, "27 MB", print)
    two_at_once = asyncio.Semaphore(2)

    async def execute(command: str) -> None:
        program, *arguments = shlex.split(command)
        assert program == "kafka-acls.sh"
        java_class = ("-cp", class_path, "org.apache.kafka.tools.AclCommand", "--command-config", str(properties))
        async with two_at_once:
            made = await asyncio.create_subprocess_exec(
                java(), *java_class, *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
            )
            said, _ = await made.communicate()
        assert (made.returncode, b"Error" in said) == (0, False), said.decode()[-2_000:]

    await asyncio.gather(*(execute(line) for line in printed.output.splitlines() if not line.startswith("#")))


def as_user(user: str) -> dict[str, str]:
    return {"KAFKA_SASL_USERNAME": user}


async def may_write(pipeline: Pipeline, user: str, topic: str) -> bool:
    names = {"kafka_bootstrap_servers", "kafka_security_protocol", "kafka_sasl_mechanism", "kafka_sasl_password"}
    given = {name.lower(): value for name, value in pipeline.environment.items() if name.lower() in names}
    kafka = KafkaConnection.model_validate({**given, "kafka_sasl_username": user})
    producer = await connected_producer(kafka.client_options(), enable_idempotence=True)
    try:
        await producer.send_and_wait(topic, b"{}", b"nobody@example.com", 0)
    except TopicAuthorizationFailedError:
        return False
    finally:
        await producer.stop()
    return True


async def test_each_program_does_its_work_with_the_rights_that_are_printed_and_no_other_writes_its_topics(
    pipeline: Pipeline,
) -> None:
    operator = as_user("nerava-operator")
    made = await run("producer", "topics", environment={**pipeline.environment, **operator, "KAFKA_PARTITIONS": "3"})
    assert made.code == 0, made
    relay, worker = pipeline.producer(**as_user("nerava-relay")), pipeline.consumer(**as_user("nerava-worker"))
    console = pipeline.console(**as_user("nerava-console"))
    await asyncio.gather(*(service.launch_and_wait() for service in (relay, worker, console)))

    await pipeline.commit(60)
    await pipeline.all_arrive(dead=1)
    before = await pipeline.simulator.entries()
    for command in (
        ["replay", "--from-earliest", "--yes", "--folder", str(pipeline.directory / "runs")],
        ["dead-letters", "discard", "--reason", "invalid_envelope", "--why", "test", "--yes"],
        ["redrive", "--yes"],
        ["audit"],
        ["suppress", "ada@example.com"],
        ["pause", "--note", "why"],
        ["resume"],
    ):
        done = await pipeline.run(*command, **operator)
        assert done.code == 0, (command, done)
    assert await pipeline.simulator.entries() == before
    async with httpx.AsyncClient(base_url=console.url) as http:
        await sign_in(http, OPERATOR_TOKEN)
        token = {CSRF_HEADER: await csrf_of(http)}
        answer = await http.post("/control/pause", data={"note": "a test"}, headers=token)
        assert answer.status_code == 303, answer.text

    topics = Topics(pipeline.topics.prefix)
    written = {
        program.user: [topic for topic in topics.all if await may_write(pipeline, program.user, topic)]
        for program in PROGRAMS
    }
    assert written == {
        program.user: [*sorted(program.topics(topics, program.writes), key=topics.all.index)] for program in PROGRAMS
    }
    for service in (relay, worker, console):
        log = service.log.read_text()
        assert "Authorization" not in log, [line for line in log.splitlines() if "Authorization" in line][:3]
    recovered = await run("producer", "recover", environment={**pipeline.environment, **operator})
    assert recovered.code == 0, recovered
