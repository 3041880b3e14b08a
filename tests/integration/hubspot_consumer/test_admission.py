"""Admission: what Kafka refuses is told apart from an outage, and the variable that is wrong is named."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiokafka.conn import AIOKafkaConnection

from runtime.kafka import admission
from runtime.kafka.admission import Admission, KafkaAway, KafkaRefused, ask_admission
from runtime.kafka.connection import KafkaConnection
from sandbox.certificate import Certificate
from sandbox.kafka import EmbeddedKafka
from sandbox.listener import Secured

PASSWORD = "open-sesame-kafka"
USER = {"KAFKA_SASL_USERNAME": "ada", "KAFKA_SASL_PASSWORD": "of ada"}
OTHERS = "<the others' certificate>"
Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def options(environment: dict[str, str]) -> dict[str, Any]:
    """Return what our clients get from an environment, in which empty counts as not set."""
    settings = {name.lower(): value for name, value in environment.items() if value}
    return KafkaConnection.model_validate(settings).client_options()


@pytest.fixture(scope="session")
def others(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """The certificate of somebody else."""
    return Certificate.make(tmp_path_factory.mktemp("others"))


@pytest.fixture(scope="session")
def untls_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedKafka]:
    """A broker that wants a user, without TLS."""
    broker = EmbeddedKafka(tmp_path_factory.mktemp("untls"), listener=Secured(None, PASSWORD, "PLAIN"))
    asyncio.run(broker.start())
    yield broker
    asyncio.run(broker.stop())


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"KAFKA_SASL_PASSWORD": "wrong"}, "KAFKA_SASL_PASSWORD: {} does not accept it for the user KAFKA_SASL_USERN"),
        (
            {"KAFKA_SASL_PASSWORD": "wrong", "KAFKA_SASL_MECHANISM": "PLAIN"},
            "KAFKA_SASL_PASSWORD: {} does not accept it",
        ),
        (
            {"KAFKA_SASL_USERNAME": "nobody"},
            "KAFKA_SASL_PASSWORD: {} does not accept it for the user KAFKA_SASL_USERN",
        ),
        (
            {"KAFKA_SASL_MECHANISM": "SCRAM-SHA-512"},
            "KAFKA_SASL_MECHANISM: is SCRAM-SHA-512, and {} accepts PLAIN or",
        ),
        ({"KAFKA_SSL_CAFILE": ""}, "KAFKA_SSL_CAFILE: the certificate of {} is not trusted (self-signed"),
        (
            {"KAFKA_SSL_CAFILE": OTHERS},
            "KAFKA_SSL_CAFILE: the certificate of {} is not trusted (self-signed",
        ),
        (
            {"KAFKA_BOOTSTRAP_SERVERS": "localhost"},
            "KAFKA_BOOTSTRAP_SERVERS: the certificate of {} has other names (Host",
        ),
        ({"KAFKA_SECURITY_PROTOCOL": "PLAINTEXT"}, "KAFKA_SECURITY_PROTOCOL: is PLAINTEXT, and {} speaks TLS: set SSL"),
        ({"KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT"}, "is SASL_PLAINTEXT, and {} speaks TLS: set SASL_SSL"),
        ({"KAFKA_SECURITY_PROTOCOL": "SSL"}, "is SSL, and {} asks for a user: set SASL_SSL (PLAIN or SCRAM-SHA-256)"),
    ],
)
async def test_over_tls_what_is_refused_names_the_variable(
    secured_kafka: EmbeddedKafka, others: Certificate, changed: dict[str, str], named: str
) -> None:
    server = secured_kafka.bootstrap_servers
    # The certificate is of 127.0.0.1.
    renamed = server.replace("127.0.0.1", "localhost")
    changed = {
        name: {OTHERS: str(others.pem), "localhost": renamed}.get(value, value) for name, value in changed.items()
    }

    with pytest.raises(KafkaRefused) as refused:
        await ask_admission(options({**secured_kafka.environment, **changed}))

    assert named.format(changed.get("KAFKA_BOOTSTRAP_SERVERS", server)) in str(refused.value)
    assert str(refused.value).startswith("KAFKA_")
    assert "wrong" not in str(refused.value)


@pytest.mark.parametrize(
    ("protocol", "named"),
    [
        ("PLAINTEXT", "asks for a user: set SASL_PLAINTEXT (PLAIN or SCRAM-SHA-256)"),
        ("SASL_SSL", "speaks no TLS"),
        ("SSL", "speaks no TLS"),
    ],
)
async def test_without_tls_a_wrong_protocol_is_refused(untls_kafka: EmbeddedKafka, protocol: str, named: str) -> None:
    asked = options({**untls_kafka.environment, "KAFKA_SECURITY_PROTOCOL": protocol})

    with pytest.raises(KafkaRefused, match=r"^KAFKA_SECURITY_PROTOCOL: is") as refused:
        await ask_admission(asked)

    assert str(refused.value).endswith(named)


@pytest.mark.parametrize(
    ("protocol", "named"),
    [("SASL_PLAINTEXT", "takes no user"), ("SASL_SSL", "speaks no TLS"), ("SSL", "speaks no TLS")],
)
async def test_a_broker_that_takes_everybody_refuses_users_and_tls(kafka: Any, protocol: str, named: str) -> None:
    asked = options({"KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers, "KAFKA_SECURITY_PROTOCOL": protocol, **USER})

    with pytest.raises(KafkaRefused, match=r"^KAFKA_SECURITY_PROTOCOL: is") as refused:
        await ask_admission(asked)

    assert str(refused.value).endswith(named)


async def test_the_right_settings_are_let_in_by_scram_and_by_plain(
    secured_kafka: EmbeddedKafka, untls_kafka: EmbeddedKafka
) -> None:
    for broker, mechanism in ((secured_kafka, "SCRAM-SHA-256"), (untls_kafka, "PLAIN")):
        assert broker.environment["KAFKA_SASL_MECHANISM"] == mechanism
        await ask_admission(options({**broker.environment}))


async def test_one_broker_that_answers_is_enough(kafka: Any) -> None:
    await ask_admission(options({"KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:1,{kafka.bootstrap_servers}"}))


async def test_one_that_refuses_is_heard_beside_one_that_is_away(secured_kafka: EmbeddedKafka) -> None:
    servers = f"127.0.0.1:1,{secured_kafka.bootstrap_servers}"
    environment = {**secured_kafka.environment, "KAFKA_BOOTSTRAP_SERVERS": servers, "KAFKA_SASL_PASSWORD": "wrong"}

    with pytest.raises(KafkaRefused, match=r"^KAFKA_SASL_PASSWORD: "):
        await ask_admission(options(environment))


@pytest.mark.parametrize(
    ("server", "why"), [("127.0.0.1:1", "Connection refused"), ("nowhere.invalid:9092", "not known|resolution")]
)
async def test_nobody_there_is_an_outage(server: str, why: str) -> None:
    with pytest.raises(KafkaAway, match=rf"^KAFKA_BOOTSTRAP_SERVERS: no broker answers at {server} \(.*({why})"):
        await ask_admission(options({"KAFKA_BOOTSTRAP_SERVERS": server}))


@asynccontextmanager
async def stranger(talk: Talk, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """Listen, and *talk* to whoever connects."""

    async def talked(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await talk(reader, writer)
        writer.close()

    async with await asyncio.start_server(talked, "127.0.0.1", 0, ssl=tls) as server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def hang_up(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    """What a broker does that goes down just now."""


async def speak_http(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")


async def say_nothing(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    await reader.read()


@pytest.mark.parametrize("protocol", ["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"])
@pytest.mark.parametrize("talk", [hang_up, speak_http, say_nothing])
async def test_what_nobody_understands_is_an_outage_and_no_reason_to_give_up(
    monkeypatch: pytest.MonkeyPatch, protocol: str, talk: Talk
) -> None:
    monkeypatch.setattr(admission, "ANSWER_WITHIN_S", 0.3)
    async with stranger(talk) as server:
        with pytest.raises(KafkaAway, match=r"^KAFKA_BOOTSTRAP_SERVERS: no broker answers at"):
            await ask_admission(
                options({"KAFKA_BOOTSTRAP_SERVERS": server, "KAFKA_SECURITY_PROTOCOL": protocol, **USER})
            )


@pytest.mark.parametrize("code", [9, 10])
async def test_a_certificate_that_ran_out_is_an_outage_which_whoever_runs_the_broker_ends(
    monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    expired = ssl.SSLCertVerificationError(1, "certificate verify failed")
    expired.verify_code, expired.verify_message = code, "certificate has expired."

    async def connect(_: AIOKafkaConnection) -> None:
        raise expired

    monkeypatch.setattr(AIOKafkaConnection, "connect", connect)

    with pytest.raises(KafkaAway, match=r"no broker answers at 127.0.0.1:1 \(its certificate has expired\)"):
        await ask_admission(options({"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1", "KAFKA_SECURITY_PROTOCOL": "SSL"}))


async def test_once_let_in_a_refusal_is_an_outage(secured_kafka: EmbeddedKafka) -> None:
    wrong = options({**secured_kafka.environment, "KAFKA_SASL_PASSWORD": "wrong"})
    new, known = Admission(wrong), Admission(wrong)
    known.granted()

    with pytest.raises(KafkaRefused, match="KAFKA_SASL_PASSWORD"):
        await new.why(OSError())

    assert (await known.why(OSError())).startswith("KAFKA_SASL_PASSWORD: ")
    with pytest.raises(KafkaAway, match="KAFKA_SASL_PASSWORD"):
        await known.ask()


async def test_a_refused_login_is_an_outage_at_once_to_a_service_that_waits_for_it(
    secured_kafka: EmbeddedKafka,
) -> None:
    wrong = options({**secured_kafka.environment, "KAFKA_SASL_PASSWORD": "wrong"})
    right = options({**secured_kafka.environment})
    waiting = Admission(wrong, waits_for_login=True)

    assert (await waiting.why(OSError())).startswith("KAFKA_SASL_PASSWORD: ")
    # What was changed after the refusal is tried next.
    wrong.update(right)
    await waiting.ask()


async def test_what_only_other_settings_help_against_is_refused_to_a_service_that_waits_for_a_login(
    untls_kafka: EmbeddedKafka,
) -> None:
    asked = options({**untls_kafka.environment, "KAFKA_SECURITY_PROTOCOL": "PLAINTEXT"})

    with pytest.raises(KafkaRefused, match=r"^KAFKA_SECURITY_PROTOCOL: is"):
        await Admission(asked, waits_for_login=True).ask()
