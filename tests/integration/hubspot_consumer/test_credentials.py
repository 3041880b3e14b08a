"""Credentials that change: a file or a token of the moment counts for each connection, and what is refused is named."""

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from shutil import copy
from typing import Any

import pytest
from aiokafka.conn import AIOKafkaConnection

from runtime.kafka.admission import Admission, KafkaAway, KafkaRefused, LoginRefused, ask_admission
from runtime.kafka.connection import KafkaConnection
from runtime.kafka.credentials.logins import log_in_anew
from runtime.settings import ServiceSettings
from sandbox.kafka import EmbeddedKafka
from sandbox.listener import Secured
from tests.foreign.client_certificates import Authority
from tests.kafka.token_endpoint import TokenServer

PASSWORD = "open-sesame-kafka"


def options(environment: dict[str, str]) -> dict[str, Any]:
    """Return what our clients get from an environment, in which empty counts as not set."""
    settings = {name.lower(): value for name, value in environment.items() if value}
    return KafkaConnection.model_validate(settings).client_options()


@pytest.fixture(scope="module")
def untls_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedKafka]:
    """A broker that wants a user, without TLS."""
    broker = EmbeddedKafka(tmp_path_factory.mktemp("untls"), listener=Secured(None, PASSWORD, "PLAIN"))
    asyncio.run(broker.start())
    yield broker
    asyncio.run(broker.stop())


@pytest.fixture
def endpoint(tokens: TokenServer) -> Iterator[TokenServer]:
    """The token endpoint, which a test may change."""
    before = replace(tokens)
    yield tokens
    vars(tokens).update(vars(before))


@pytest.fixture(autouse=True)
def logins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Log in as our programs do."""
    for mechanism in ("plain", "scram", "oauth"):
        name = f"authenticator_{mechanism}"
        monkeypatch.setattr(AIOKafkaConnection, name, getattr(AIOKafkaConnection, name))
    log_in_anew()


class FromFiles(KafkaConnection, ServiceSettings):
    """Settings whose secrets may be in files."""


def of_files(monkeypatch: pytest.MonkeyPatch, environment: Mapping[str, str]) -> dict[str, Any]:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return FromFiles().client_options()


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-256", "PLAIN"])
async def test_a_password_is_read_from_its_file_for_each_connection_and_one_refused_there_is_an_outage(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    secured_kafka: EmbeddedKafka,
    untls_kafka: EmbeddedKafka,
    mechanism: str,
) -> None:
    broker = secured_kafka if mechanism == "SCRAM-SHA-256" else untls_kafka
    password = tmp_path / "password"
    password.write_text("wrong")
    asked = of_files(
        monkeypatch, {**broker.environment, "KAFKA_SASL_PASSWORD": "", "KAFKA_SASL_PASSWORD_FILE": str(password)}
    )
    admission = Admission(asked)

    with pytest.raises(KafkaAway, match=r"^KAFKA_SASL_PASSWORD: "):
        await admission.ask()
    password.unlink()
    with pytest.raises(KafkaAway, match=r"^KAFKA_SASL_PASSWORD_FILE: .* can't be read"):
        await admission.ask()
    password.write_text(PASSWORD)
    await admission.ask()
    # What a command needs only once is refused.
    password.write_text("wrong")
    with pytest.raises(LoginRefused):
        await ask_admission(asked)


async def test_a_clients_certificate_lets_in_and_what_is_wrong_with_it_is_said(
    mutual_kafka: EmbeddedKafka, authority: Authority, tmp_path: Path
) -> None:
    stranger = Authority(tmp_path, "stranger").issue("client")
    expired = authority.issue("expired", lasts=timedelta(hours=-1))
    without = {"KAFKA_SSL_CERTFILE": "", "KAFKA_SSL_KEYFILE": ""}

    await ask_admission(options({**mutual_kafka.environment}))
    for client, why in ((stranger, "certificate unknown|unknown ca"), (expired, "it ended 20")):
        files = {"KAFKA_SSL_CERTFILE": str(client.certfile), "KAFKA_SSL_KEYFILE": str(client.keyfile)}
        with pytest.raises(LoginRefused, match=rf"^KAFKA_SSL_CERTFILE: .* does not accept it \(({why})"):
            await ask_admission(options({**mutual_kafka.environment, **files}))
    with pytest.raises(KafkaRefused, match=r"^KAFKA_SSL_CERTFILE: is not set, and .* asks for a client's certificate"):
        await Admission(options({**mutual_kafka.environment, **without})).ask()


async def test_a_refused_certificate_is_an_outage_that_ends_with_a_good_one(
    mutual_kafka: EmbeddedKafka, authority: Authority, tmp_path: Path
) -> None:
    files = {"KAFKA_SSL_CERTFILE": str(tmp_path / "client.pem"), "KAFKA_SSL_KEYFILE": str(tmp_path / "client.key")}
    for issued in (authority.issue("old", lasts=timedelta(hours=-1)), authority.issue("new")):
        copy(issued.certfile, files["KAFKA_SSL_CERTFILE"])
        copy(issued.keyfile, files["KAFKA_SSL_KEYFILE"])
        if issued.certfile.stem == "old":
            admission = Admission(options({**mutual_kafka.environment, **files}))
            with pytest.raises(KafkaAway, match=r"^KAFKA_SSL_CERTFILE: .* does not accept it \(it ended 20"):
                await admission.ask()

    await admission.ask()


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (503, b"", r"TOKEN_ENDPOINT_URL: http://127.0.0.1:\d+/token answers 503"),
        (404, b"<html>", r"TOKEN_ENDPOINT_URL: http://127.0.0.1:\d+/token answers 404"),
        (302, b"", r"TOKEN_ENDPOINT_URL: http://127.0.0.1:\d+/token answers 302"),
        (400, b'{"error": "invalid_scope"}', r"SCOPE: http://127.0.0.1:\d+/token does not accept it \(invalid_scope\)"),
        (401, b"", r"CLIENT_SECRET: http://127.0.0.1:\d+/token does not accept it \(invalid_client\)"),
        (200, b"junk", r"TOKEN_ENDPOINT_URL: http://127.0.0.1:\d+/token answers without an access_token"),
        (200, b'["a"]', r"TOKEN_ENDPOINT_URL: http://127.0.0.1:\d+/token answers without an access_token"),
        (200, b'{"access_token": "a\\u0001b"}', r"TOKEN_ENDPOINT_URL: .* answers without an access_token"),
        (200, b'{"access_token": "abc"}', r"TOKEN_ENDPOINT_URL: .* does not accept its token \(invalid_token\)"),
        (200, b"expired", r"TOKEN_ENDPOINT_URL: .* does not accept its token \(it has expired\)"),
    ],
)
async def test_whatever_a_token_endpoint_says_is_an_outage_with_its_cause_which_a_good_token_ends(
    bearer_kafka: EmbeddedKafka, endpoint: TokenServer, status: int, body: bytes, said: str
) -> None:
    admission = Admission(options({**bearer_kafka.environment}))
    endpoint.status, endpoint.body = status, body
    if body == b"expired":
        endpoint.body, endpoint.lies_by_s = b"", 700

    with pytest.raises(KafkaAway, match=f"^KAFKA_SASL_OAUTHBEARER_{said}$"):
        await admission.ask()

    endpoint.status, endpoint.body, endpoint.lies_by_s = 200, b"", 0
    await admission.ask()


async def test_a_token_endpoint_is_asked_once_by_the_clients_secret_and_a_wrong_one_is_named(
    bearer_kafka: EmbeddedKafka, endpoint: TokenServer
) -> None:
    asked = options({**bearer_kafka.environment, "KAFKA_SASL_OAUTHBEARER_SCOPE": "kafka events"})
    wrong = options({**bearer_kafka.environment, "KAFKA_SASL_OAUTHBEARER_CLIENT_SECRET": "wrong"})
    away = options(
        {**bearer_kafka.environment, "KAFKA_SASL_OAUTHBEARER_TOKEN_ENDPOINT_URL": "http://127.0.0.1:1/token"}
    )

    endpoint.asked.clear()
    for _ in range(3):
        await ask_admission(asked)
    assert endpoint.asked == [{"grant_type": ["client_credentials"], "scope": ["kafka events"]}]
    with pytest.raises(LoginRefused, match=r"^KAFKA_SASL_OAUTHBEARER_CLIENT_SECRET: .* \(invalid_client\)$"):
        await ask_admission(wrong)
    with pytest.raises(KafkaAway, match=r"TOKEN_ENDPOINT_URL: http://127.0.0.1:1/token does not answer \(ConnectError"):
        await ask_admission(away)
