"""Fixtures of brokers that want a certificate or a token; `tests/conftest.py` has them for all tests."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The authority of the clients that `mutual_kafka` lets in."""
    from tests.foreign.client_certificates import Authority

    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def mutual_kafka(tmp_path_factory: pytest.TempPathFactory, certificate: Any, authority: Any) -> Iterator[Any]:
    """A broker that wants a client's certificate."""
    from sandbox.kafka import EmbeddedKafka
    from sandbox.listener import MutualTLS

    client = authority.issue("client")
    listener = MutualTLS(certificate, authority.with_pem(certificate.pem), client.certfile, client.keyfile)
    embedded = EmbeddedKafka(tmp_path_factory.mktemp("mutual-kafka"), listener=listener)
    asyncio.run(embedded.start())
    yield embedded
    asyncio.run(embedded.stop())


@pytest.fixture(scope="session")
def tokens() -> Iterator[Any]:
    """Where the clients of `bearer_kafka` get their tokens."""
    from tests.kafka.token_endpoint import CLIENT_SECRET, token_server

    with token_server(CLIENT_SECRET) as server:
        yield server


@pytest.fixture(scope="session")
def bearer_kafka(tmp_path_factory: pytest.TempPathFactory, certificate: Any, tokens: Any) -> Iterator[Any]:
    """A broker that wants a token."""
    from sandbox.kafka import EmbeddedKafka
    from sandbox.listener import Bearer

    listener = Bearer(tokens.url, tokens.secret, certificate)
    embedded = EmbeddedKafka(tmp_path_factory.mktemp("bearer-kafka"), listener=listener)
    asyncio.run(embedded.start())
    yield embedded
    asyncio.run(embedded.stop())
