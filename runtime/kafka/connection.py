"""The connection to Kafka of both services: the KAFKA_* variables of the environment."""

import ssl
from typing import Any, Literal, Self

from pydantic import BaseModel, Field, SecretStr, field_validator, model_validator

from schemas.topics import Topics


class KafkaConnection(BaseModel):
    """The KAFKA_* variables, by their names in lower case."""

    kafka_bootstrap_servers: str | None = Field(None, description="`host:port`, separated by commas")
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="how to connect to Kafka; both SASL values need a username and a password"
    )
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        "PLAIN", description="how the user authenticates"
    )
    kafka_sasl_username: str | None = Field(None, description="the user's name at Kafka")
    kafka_sasl_password: SecretStr | None = Field(None, description="the user's password")
    kafka_ssl_cafile: str | None = Field(
        None, description="file of trusted certificates; without it, the system's certificates"
    )
    kafka_topic_prefix: str = Field(
        "lifecycle.", pattern=r"^[A-Za-z0-9._-]{0,100}$", description="prefix of each topic's name"
    )
    kafka_partitions: int = Field(
        12, ge=1, le=10_000, description="number of partitions of new topics; all have the same number"
    )
    kafka_replication_factor: int = Field(1, ge=1, le=32, description="copies of new topics")

    @field_validator("kafka_bootstrap_servers")
    @classmethod
    def _named_as_host_and_port(cls, servers: str | None) -> str | None:
        for server in (servers or "").split(",") if servers else ():
            host, _, port = server.strip().rpartition(":")
            if not host or not port.isdigit():
                raise ValueError("should be host:port, several of them separated by commas")
        return servers

    @field_validator("kafka_ssl_cafile")
    @classmethod
    def _readable(cls, path: str | None) -> str | None:
        # The system's certificates would take longer to load than all other settings together.
        if not path:
            return path
        try:
            ssl.create_default_context(cafile=path)
        except OSError as error:
            raise ValueError(f"can't be read as a file of certificates ({error.strerror})") from None
        return path

    @model_validator(mode="after")
    def _sasl_has_a_user(self) -> Self:
        if self.kafka_security_protocol.startswith("SASL") and not (
            self.kafka_sasl_username and self.kafka_sasl_password
        ):
            raise ValueError("KAFKA_SECURITY_PROTOCOL asks for KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD")
        return self

    @property
    def bootstrap_servers(self) -> list[str]:
        return [server.strip() for server in (self.kafka_bootstrap_servers or "").split(",") if server.strip()]

    @property
    def topics(self) -> Topics:
        return Topics(self.kafka_topic_prefix)

    def ssl_context(self) -> ssl.SSLContext | None:
        """Return the TLS context, None if the protocol has no TLS."""
        if not self.kafka_security_protocol.endswith("SSL"):
            return None
        return ssl.create_default_context(cafile=self.kafka_ssl_cafile)

    def client_options(self) -> dict[str, Any]:
        """Return the keyword arguments with which every aiokafka client connects."""
        options: dict[str, Any] = {
            "bootstrap_servers": self.bootstrap_servers,
            "security_protocol": self.kafka_security_protocol,
            "ssl_context": self.ssl_context(),
        }
        if self.kafka_security_protocol.startswith("SASL") and self.kafka_sasl_password is not None:
            options |= {
                "sasl_mechanism": self.kafka_sasl_mechanism,
                "sasl_plain_username": self.kafka_sasl_username,
                "sasl_plain_password": self.kafka_sasl_password.get_secret_value(),
            }
        return options
