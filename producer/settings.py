"""The producer's settings: read once from the environment, frozen."""

import re
from datetime import timedelta
from typing import Final, Literal

from pydantic import Field, SecretStr, field_validator

from runtime.database import DatabaseUrl, InSchema, of_postgresql
from runtime.kafka.connection import KafkaConnection
from runtime.settings import ServiceSettings

Compression = Literal["none", "gzip", "snappy", "lz4", "zstd"]
# A bearer token has the characters of RFC 6750, and enough of them that it can't be guessed.
_A_TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/-]{32,}=*")


class DatabaseSettings(InSchema):
    """What `migrate` needs."""

    database_url: SecretStr = Field(description="PostgreSQL of the outbox: `postgresql://user:password@host:port/name`")

    _of_postgresql = field_validator("database_url")(of_postgresql)

    @property
    def database(self) -> DatabaseUrl:
        return DatabaseUrl(self, "database_url")


class KafkaSettings(KafkaConnection, ServiceSettings):
    """What `topics` needs."""

    kafka_bootstrap_servers: str = Field(description="`host:port`, separated by commas")


class DebeziumSettings(KafkaConnection, DatabaseSettings):
    """What `debezium-config` needs: it asks nobody, and the brokers are Kafka Connect's to know."""


class Settings(KafkaSettings, DatabaseSettings):
    """What `relay` and `serve` need: all of the producer's part of the contract's environment."""

    relay_database_url: SecretStr | None = Field(
        None,
        description="the relay's own URL of PostgreSQL, where `DATABASE_URL` leads through a pooler in transaction mode"
        " such as PgBouncer; the default is `DATABASE_URL`",
    )
    producer_port: int = Field(8080, ge=0, le=65_535, description="port of health, metrics and the intake")
    producer_intake_token: SecretStr | None = Field(
        None,
        description="bearer token for `POST /v1/events`; several are separated by commas. Without one, no intake",
    )
    kafka_compression: Compression = Field("none", description="codec of the records that the relay publishes")
    outbox_retention_h: float = Field(
        0, ge=0, le=24 * 366, description="hours for which published rows are kept, in `outbox_published`"
    )

    @field_validator("relay_database_url")
    @classmethod
    def _of_postgresql_too(cls, value: SecretStr | None) -> SecretStr | None:
        return None if value is None else of_postgresql(value)

    @field_validator("producer_intake_token")
    @classmethod
    def _hard_to_guess(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not all(_A_TOKEN.fullmatch(token) for token in _tokens(value)):
            raise ValueError(
                "each token (several are separated by commas) should have at least 32 characters, of letters, digits"
                " and ._~+/- alone: `openssl rand -hex 32` makes one"
            )
        return value

    @property
    def relay_database(self) -> DatabaseUrl:
        """The URL of what needs a session of its own: the relay's lock, and its notifications."""
        return DatabaseUrl(self, "relay_database_url") if self.relay_database_url else self.database

    @property
    def intake_tokens(self) -> tuple[str, ...]:
        """The tokens that the intake accepts; empty if it is off."""
        return _tokens(self.producer_intake_token) if self.producer_intake_token else ()

    @property
    def outbox_retention(self) -> timedelta:
        return timedelta(hours=self.outbox_retention_h)


def _tokens(value: SecretStr) -> tuple[str, ...]:
    return tuple(token.strip() for token in value.get_secret_value().split(","))
