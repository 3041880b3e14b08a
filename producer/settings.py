"""The producer's settings: read once from the environment, frozen."""

import re
from datetime import timedelta
from typing import Final

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from runtime.kafka import KafkaConnection

# What a bearer token may hold (RFC 6750), and so many characters that nobody guesses it.
_A_TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/-]{32,}=*")


class DatabaseSettings(BaseSettings):
    """What `migrate` needs."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True)

    database_url: SecretStr = Field(description="PostgreSQL of the outbox: postgresql://user:password@host:port/name")

    @field_validator("database_url")
    @classmethod
    def _of_postgresql(cls, value: SecretStr) -> SecretStr:
        try:
            url = make_url(value.get_secret_value())
        except (ArgumentError, ValueError):
            raise ValueError("is no URL; it should be postgresql://user:password@host:port/name") from None
        if url.get_backend_name() not in ("postgresql", "postgres"):
            raise ValueError("should begin with postgresql://")
        # SQLAlchemy's way of naming a driver is none that libpq knows.
        return SecretStr(url.set(drivername="postgresql").render_as_string(hide_password=False))


class KafkaSettings(KafkaConnection, BaseSettings):
    """What `topics` needs."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True)

    kafka_bootstrap_servers: str = Field(description="comma separated, as host:port")


class DebeziumSettings(KafkaConnection, DatabaseSettings):
    """What `debezium-config` needs: it asks nobody, and the brokers are Kafka Connect's to know."""


class Settings(KafkaSettings, DatabaseSettings):
    """What `relay` and `serve` need: all of the producer's part of the contract's environment."""

    producer_port: int = Field(8080, ge=0, le=65_535)
    producer_intake_token: SecretStr | None = Field(
        None, description="who sends it may POST /v1/events; several are separated by commas; off without one"
    )

    outbox_retention_h: float = Field(0, ge=0, le=24 * 366, description="hours for which published rows are kept")

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
    def intake_tokens(self) -> tuple[str, ...]:
        """The tokens that the intake takes; empty where it is off."""
        return _tokens(self.producer_intake_token) if self.producer_intake_token else ()

    @property
    def outbox_retention(self) -> timedelta:
        return timedelta(hours=self.outbox_retention_h)


def _tokens(value: SecretStr) -> tuple[str, ...]:
    return tuple(token.strip() for token in value.get_secret_value().split(","))
