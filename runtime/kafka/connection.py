"""The connection to Kafka of both services: the KAFKA_* variables of the environment."""

import ssl
from functools import cached_property
from typing import Any, Final, Literal, Self, get_args

from pydantic import AliasChoices, Field, SecretStr, field_validator, model_validator

from runtime.kafka.credentials import msk_iam
from runtime.kafka.credentials.faults import CredentialsUnavailable
from runtime.kafka.credentials.passwords import SecretFile
from runtime.kafka.credentials.tls import TLSFiles, tls_context
from runtime.kafka.credentials.token_endpoint import TokenEndpoint
from runtime.kafka.credentials.tokens import Tokens
from runtime.settings import HasSecrets
from schemas.topics import Topics

OAUTHBEARER: Final = "OAUTHBEARER"
AWS_MSK_IAM: Final = "AWS_MSK_IAM"
# The mechanisms by which a client shows a token.
TOKENS: Final = (OAUTHBEARER, AWS_MSK_IAM)
_NEEDED_BY_AN_ENDPOINT: Final = ("token_endpoint_url", "client_id", "client_secret")
_Protocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]


class KafkaConnection(HasSecrets):
    """The KAFKA_* variables, by their names in lower case."""

    kafka_bootstrap_servers: str | None = Field(
        None, description="`host:port`, separated by commas; a protocol may precede each: `SASL_SSL://host:port`"
    )
    kafka_security_protocol: _Protocol = Field("PLAINTEXT", description="how to connect to Kafka")
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER", "AWS_MSK_IAM"] = Field(
        "PLAIN",
        description="how to log in, with a SASL protocol: with username and password, with tokens of an endpoint, or as"
        " an IAM role at Amazon MSK, which needs the extra `msk-iam`",
    )
    kafka_sasl_username: str | None = Field(None, description="the user's name at Kafka")
    kafka_sasl_password: SecretStr | None = Field(
        None, description="the user's password; its file is read again for each new connection"
    )
    kafka_sasl_oauthbearer_token_endpoint_url: str | None = Field(
        None,
        pattern=r"^https?://[^\s]+$",
        description="where `OAUTHBEARER` gets its tokens, by OAuth's client credentials",
    )
    kafka_sasl_oauthbearer_client_id: str | None = Field(None, description="the client's id there")
    kafka_sasl_oauthbearer_client_secret: SecretStr | None = Field(
        None, description="the client's secret there; its file is read again for each token"
    )
    kafka_sasl_oauthbearer_scope: str | None = Field(None, description="the scope of the tokens, if one is needed")
    kafka_sasl_oauthbearer_extensions: str | None = Field(
        None,
        pattern=r"^[A-Za-z]+=[^,=\x00-\x1f]+(,[A-Za-z]+=[^,=\x00-\x1f]+)*$",
        description="what brokers want beside a token: `name=value`, separated by commas, such as Confluent Cloud's"
        " `logicalCluster=lkc-1,identityPoolId=pool-1`",
    )
    aws_region: str | None = Field(
        None,
        validation_alias=AliasChoices("aws_region", "aws_default_region"),
        description="region of the cluster, for `AWS_MSK_IAM`; `AWS_DEFAULT_REGION` counts too",
    )
    kafka_ssl_cafile: str | None = Field(
        None, description="file of trusted certificates in PEM; without it, the system's certificates"
    )
    kafka_ssl_certfile: str | None = Field(
        None,
        description="file of the client's certificate in PEM, where brokers ask for one; the three files are read again"
        " when they change",
    )
    kafka_ssl_keyfile: str | None = Field(
        None, description="file of its key in PEM; without it, the key is in `KAFKA_SSL_CERTFILE` too"
    )
    kafka_ssl_key_password: SecretStr | None = Field(None, description="password of the key, if it is encrypted")
    kafka_topic_prefix: str = Field(
        "lifecycle.", pattern=r"^[A-Za-z0-9._-]{0,100}$", description="prefix of each topic's name"
    )
    kafka_partitions: int = Field(
        12, ge=1, le=10_000, description="number of partitions of new topics; all have the same number"
    )
    kafka_replication_factor: int = Field(
        1, ge=1, le=32, description="copies of new topics; the doctor compares. 3 where there are three brokers"
    )

    @model_validator(mode="before")
    @classmethod
    def _protocol_of_the_servers(cls, given: Any) -> Any:
        servers = given.get("kafka_bootstrap_servers") if isinstance(given, dict) else None
        if not isinstance(servers, str) or "://" not in servers:
            return given
        parts = [server.strip().rpartition("://") for server in servers.split(",")]
        protocols = {protocol.upper() for protocol, _, _ in parts}
        if not protocols <= {"", *get_args(_Protocol)}:
            # The field's own check says what is wrong.
            return given
        asked = given.get("kafka_security_protocol") or parts[0][0]
        if protocols != {str(asked).strip().upper()}:
            raise ValueError("KAFKA_BOOTSTRAP_SERVERS and KAFKA_SECURITY_PROTOCOL name several protocols: name one")
        named = {"kafka_bootstrap_servers": ",".join(one[2] for one in parts), "kafka_security_protocol": asked}
        return {**given, **named}

    @field_validator("kafka_security_protocol", "kafka_sasl_mechanism", mode="before")
    @classmethod
    def _named_in_any_case(cls, value: object) -> object:
        return value.strip().upper() if isinstance(value, str) else value

    @field_validator("kafka_bootstrap_servers")
    @classmethod
    def _named_as_host_and_port(cls, servers: str | None) -> str | None:
        for server in (servers or "").split(",") if servers else ():
            host, _, port = server.strip().rpartition(":")
            if not host or "/" in host or not port.isdigit():
                raise ValueError("should be host:port, several of them separated by commas")
        return servers

    @model_validator(mode="after")
    def _can_log_in(self) -> Self:
        if not self.kafka_security_protocol.startswith("SASL"):
            return self
        if missing := [name.upper() for name in self._needed_to_log_in if not getattr(self, name)]:
            raise ValueError(
                f"KAFKA_SASL_MECHANISM is {self.kafka_sasl_mechanism}, and this needs {' and '.join(missing)}"
            )
        if self.kafka_sasl_mechanism == AWS_MSK_IAM and not msk_iam.is_installed():
            raise ValueError("KAFKA_SASL_MECHANISM is AWS_MSK_IAM, and this needs our extra msk-iam: install it")
        return self

    @model_validator(mode="after")
    def _files_are_usable(self) -> Self:
        if self.kafka_ssl_keyfile and not self.kafka_ssl_certfile:
            raise ValueError("KAFKA_SSL_KEYFILE is set, and KAFKA_SSL_CERTFILE is not")
        try:
            self._tls_files.load_into(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
        except CredentialsUnavailable as error:
            raise ValueError(str(error)) from None
        return self

    @property
    def bootstrap_servers(self) -> list[str]:
        return [server.strip() for server in (self.kafka_bootstrap_servers or "").split(",") if server.strip()]

    @property
    def topics(self) -> Topics:
        return Topics(self.kafka_topic_prefix)

    def client_options(self) -> dict[str, Any]:
        """Return the keyword arguments with which every aiokafka client connects."""
        options: dict[str, Any] = {
            "bootstrap_servers": self.bootstrap_servers,
            "security_protocol": self.kafka_security_protocol,
            "ssl_context": self._ssl_context if self.kafka_security_protocol.endswith("SSL") else None,
        }
        if not self.kafka_security_protocol.startswith("SASL"):
            return options
        if self.kafka_sasl_mechanism in TOKENS:
            return options | {"sasl_mechanism": OAUTHBEARER, "sasl_oauth_token_provider": self._tokens}
        return options | {
            "sasl_mechanism": self.kafka_sasl_mechanism,
            "sasl_plain_username": self.kafka_sasl_username,
            "sasl_plain_password": self._password,
        }

    @property
    def _needed_to_log_in(self) -> tuple[str, ...]:
        match self.kafka_sasl_mechanism:
            case "OAUTHBEARER":
                return tuple(f"kafka_sasl_oauthbearer_{name}" for name in _NEEDED_BY_AN_ENDPOINT)
            case "AWS_MSK_IAM":
                return ("aws_region",)
            case _:
                return ("kafka_sasl_username", "kafka_sasl_password")

    @cached_property
    def _tokens(self) -> Tokens:
        if self.kafka_sasl_mechanism == AWS_MSK_IAM:
            return Tokens(msk_iam.MSKSigner(self.aws_region or ""), {})
        endpoint = TokenEndpoint(
            self.kafka_sasl_oauthbearer_token_endpoint_url or "",
            self.kafka_sasl_oauthbearer_client_id or "",
            SecretFile(self, "kafka_sasl_oauthbearer_client_secret").read,
            self.kafka_sasl_oauthbearer_scope,
        )
        parts = filter(None, (self.kafka_sasl_oauthbearer_extensions or "").split(","))
        return Tokens(endpoint, dict(part.split("=") for part in parts))

    @cached_property
    def _ssl_context(self) -> ssl.SSLContext:
        return tls_context(self._tls_files)

    @property
    def _tls_files(self) -> TLSFiles:
        password = SecretFile(self, "kafka_ssl_key_password")
        return TLSFiles(self.kafka_ssl_cafile, self.kafka_ssl_certfile, self.kafka_ssl_keyfile, password.read)

    @property
    def _password(self) -> str | SecretFile:
        """The password, or its file, which `log_in_anew` reads for each connection."""
        password = SecretFile(self, "kafka_sasl_password")
        return password if self.is_in_a_file("kafka_sasl_password") else password.read()
