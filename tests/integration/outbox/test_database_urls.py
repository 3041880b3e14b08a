"""Each form of URL that libpq has leads every command and service to its database; what it refuses is one line."""

import asyncio
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, pkcs12
from pydantic import SecretStr

from console.contacts.history import LATEST
from console.contacts.outbox import ContactsOutbox
from console.overview.backlog import ask_outbox
from hubspot_consumer.doctor.environment import DoctorSettings, Environment
from hubspot_consumer.doctor.examination import examine
from hubspot_consumer.doctor.outbox import OutboxChecks
from producer.relay.outbox import Outbox
from runtime.clock import SystemClock
from runtime.database import of_postgresql
from sandbox.certificate import KEYSTORE_PASSWORD
from sandbox.postgres import NOBODY, OPTIONS, EmbeddedPostgres
from sandbox.processes import free_port
from sandbox.variants.postgres_programs import programs_of_the_wheel
from schemas.contacts import ContactKey
from tests.commands import run
from tests.foreign.older_postgres import oldest_programs
from tests.outbox.intake import calling
from tests.outbox.old_outbox import add, imported, make_table, signed_up
from tests.samples import EMAIL

FORMS = {
    "two hosts in a URL": "postgresql://postgres@127.0.0.1:{dead},127.0.0.1:{port}/{name}?target_session_attrs=read-write",
    "two hosts as options": "postgresql://postgres@/{name}?host=127.0.0.1,127.0.0.1&port={dead},{port}",
    "two hosts as keywords": "host=127.0.0.1,127.0.0.1 port={dead},{port} user=postgres dbname={name}",
    "a socket in a URL": "postgresql://postgres@{quoted}:{port}/{name}",
    "a socket as an option": "postgresql://postgres@/{name}?host={sockets}&port={port}",
    "a service": "postgresql:///{name}?service=shop",
    "a service as a keyword": "service=shop dbname={name}",
    "encrypted": "postgresql://postgres@127.0.0.1:{port}/{name}?sslmode=require",
    "encrypted and verified": "postgresql://postgres@127.0.0.1:{port}/{name}?sslmode=verify-full&sslrootcert={pem}",
    "with options": "postgresql://postgres@127.0.0.1:{port}/{name}?options=-c%20statement_timeout%3D50000",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, certificate: Any) -> Iterator[EmbeddedPostgres]:
    """A server with sockets in a folder, and with TLS, which the wheel's has not."""
    folder = tmp_path_factory.mktemp("served")
    key, pem, sockets = folder / "server.key", folder / "server.pem", folder / "sockets"
    kept, *_ = pkcs12.load_key_and_certificates(certificate.keystore.read_bytes(), KEYSTORE_PASSWORD.encode())
    assert kept is not None
    key.write_bytes(kept.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    pem.write_bytes(certificate.pem.read_bytes())
    sockets.mkdir()
    key.chmod(0o600)
    if os.geteuid() == 0:
        for path in (key, pem, sockets):
            os.chown(path, NOBODY, NOBODY)
    tls = {"ssl": "on", "ssl_cert_file": str(pem), "ssl_key_file": str(key)}
    options = {**OPTIONS, **tls, "unix_socket_directories": str(sockets)}
    postgres = EmbeddedPostgres(folder / "postgres", programs=oldest_programs(), options=options)
    asyncio.run(postgres.start())
    yield postgres
    asyncio.run(postgres.stop())


@pytest.fixture(params=FORMS)
def url(request: pytest.FixtureRequest, server: EmbeddedPostgres, tmp_path: Path, certificate: Any,
    monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:  # fmt: skip
    port, sockets = psycopg.conninfo.conninfo_to_dict(server.url)["port"], server._data.parent.parent / "sockets"
    services = tmp_path / "services"
    services.write_text(f"[shop]\nhost=127.0.0.1,127.0.0.1\nport={free_port()},{port}\nuser=postgres\n")
    monkeypatch.setenv("PGSERVICEFILE", str(services))
    asyncio.run(server.create_database("shop"))
    yield FORMS[request.param].format(
        dead=free_port(), port=port, name="shop", sockets=sockets, quoted=str(sockets).replace("/", "%2F"),
        pem=certificate.pem,
    )  # fmt: skip
    asyncio.run(server.drop_database("shop"))


async def test_every_command_and_service_reaches_its_database(url: str, none_of_ours: None) -> None:
    migrated = await run("producer", "migrate", environment={"DATABASE_URL": url})
    assert (migrated.code, migrated.errors) == (0, "")

    with psycopg.connect(url, autocommit=True) as db:
        make_table(db)
        add(db, [(1, "driver_signed_up", signed_up(1))])
    done = await imported(url, "--apply")
    assert (done.code, done.errors) == (0, "")
    mended = await run("producer", "recover", "--emails", environment={"DATABASE_URL": url})
    assert (mended.code, mended.errors) == (0, "")

    async with await Outbox.connect(lambda: url, SystemClock()) as outbox:
        assert await outbox.become_active()
        assert len(await outbox.head(10)) == 1
    async with calling(url) as caller:
        assert (await caller.post()).status_code == 202
    assert (await ask_outbox(url)).rows == 2
    assert (await ContactsOutbox(lambda: url).of(ContactKey(EMAIL), LATEST, 50))[0] is not None
    settings = DoctorSettings(kafka_bootstrap_servers="127.0.0.1:1", database_url=SecretStr(url))
    found = await examine([OutboxChecks(Environment(settings)).checks()])
    assert {finding.name: finding.level for finding in found}["database"] == "ok"


def test_what_libpq_says_of_a_url_is_what_its_own_program_says(server: EmbeddedPostgres) -> None:
    port = psycopg.conninfo.conninfo_to_dict(server.url)["port"]
    for url, reaches in (
        (f"postgresql://postgres@127.0.0.1:{free_port()},127.0.0.1:{port}/postgres", True),
        (f"postgresql://postgres@/postgres?host=127.0.0.1:{free_port()}&host=127.0.0.1:{port}", False),
    ):
        psql: list[str | Path] = [programs_of_the_wheel() / "psql", "-c", "SELECT 1", url]
        asked = subprocess.run(psql, check=False, capture_output=True)
        assert (asked.returncode == 0) is reaches
        migrates = asyncio.run(run("producer", "migrate", environment={"DATABASE_URL": url}))
        assert (migrates.code, "Traceback" in migrates.errors) == (0 if reaches else 1, False)
        assert of_postgresql(SecretStr(url)) == SecretStr(url)
