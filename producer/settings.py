"""The producer's settings: read once from the environment, frozen."""

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from runtime.kafka import KafkaConnection


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
