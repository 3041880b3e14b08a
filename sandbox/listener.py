"""The listener: how clients connect to the embedded Kafka: all of them, or with a password, a certificate or a token.

`properties` are lines of server.properties, `format_options` options of the storage tool, and `environment` the
settings of clients.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from sandbox.certificate import KEYSTORE_PASSWORD, Certificate

USER: Final = "nerava"
# The user as which the broker connects to its own listener.
_BROKER: Final = "broker"
_SCRAM: Final = "SCRAM-SHA-256"
_LOGIN: Final = "org.apache.kafka.common.security"


@dataclass(frozen=True)
class Plain:
    """A listener without authentication and encryption."""

    protocol: str = "PLAINTEXT"
    properties: str = ""
    format_options: list[str] = field(default_factory=list)
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Secured:
    """A listener with one user, by PLAIN or SCRAM-SHA-256, and with TLS if there is a *certificate*."""

    certificate: Certificate | None
    password: str
    # The mechanism that clients use. For PLAIN, the broker checks the password that it was started with; for SCRAM, the
    # one that its storage was formatted with.
    mechanism: str = _SCRAM

    @property
    def protocol(self) -> str:
        return "SASL_SSL" if self.certificate else "SASL_PLAINTEXT"

    @property
    def properties(self) -> str:
        name = f"listener.name.{self.protocol.lower()}"
        broker = f'username="{_BROKER}" password="{self.password}"'
        # With SCRAM as the mechanism, the user can't log in by PLAIN.
        known = (_BROKER,) if self.mechanism == _SCRAM else (_BROKER, USER)
        users = "".join(f' user_{user}="{self.password}"' for user in known)
        lines = [
            f"inter.broker.listener.name={self.protocol}",
            "sasl.mechanism.inter.broker.protocol=PLAIN",
            f"sasl.enabled.mechanisms=PLAIN,{_SCRAM}",
            f"{name}.plain.sasl.jaas.config={_LOGIN}.plain.PlainLoginModule required {broker}{users};",
            f"{name}.scram-sha-256.sasl.jaas.config={_LOGIN}.scram.ScramLoginModule required;",
        ]
        return "\n".join(lines + _tls(self.certificate))

    @property
    def format_options(self) -> list[str]:
        return ["--add-scram", f"{_SCRAM}=[name={USER},password={self.password}]"]

    @property
    def environment(self) -> Mapping[str, str]:
        return {
            "KAFKA_SECURITY_PROTOCOL": self.protocol,
            "KAFKA_SASL_MECHANISM": self.mechanism,
            "KAFKA_SASL_USERNAME": USER,
            "KAFKA_SASL_PASSWORD": self.password,
            **_trusting(self.certificate),
        }


@dataclass(frozen=True)
class MutualTLS:
    """A listener for clients with a certificate that the PEM file *trusted* vouches for, and the broker's own with it.

    *certfile* and *keyfile* are of one such client.
    """

    certificate: Certificate
    trusted: Path
    certfile: Path
    keyfile: Path
    protocol: str = "SSL"
    format_options: list[str] = field(default_factory=list)

    @property
    def properties(self) -> str:
        return "\n".join(
            ["inter.broker.listener.name=SSL", "ssl.client.auth=required", *_tls(self.certificate, self.trusted)]
        )

    @property
    def environment(self) -> Mapping[str, str]:
        return {
            "KAFKA_SECURITY_PROTOCOL": self.protocol,
            "KAFKA_SSL_CERTFILE": str(self.certfile),
            "KAFKA_SSL_KEYFILE": str(self.keyfile),
            **_trusting(self.certificate),
        }


@dataclass(frozen=True)
class Bearer:
    """A listener for clients with an unsigned token, as Kafka takes them by default; *token_endpoint* issues them.

    The broker closes connections whose token has ended.
    """

    token_endpoint: str
    secret: str
    certificate: Certificate | None = None
    format_options: list[str] = field(default_factory=list)

    @property
    def protocol(self) -> str:
        return "SASL_SSL" if self.certificate else "SASL_PLAINTEXT"

    @property
    def properties(self) -> str:
        name = f"listener.name.{self.protocol.lower()}"
        broker = f'username="{_BROKER}" password="{self.secret}" user_{_BROKER}="{self.secret}"'
        client = f'{_LOGIN}.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="{_BROKER}"'
        lines = [
            f"inter.broker.listener.name={self.protocol}",
            "sasl.mechanism.inter.broker.protocol=PLAIN",
            "sasl.enabled.mechanisms=PLAIN,OAUTHBEARER",
            f"{name}.plain.sasl.jaas.config={_LOGIN}.plain.PlainLoginModule required {broker};",
            f"{name}.oauthbearer.sasl.jaas.config={client};",
            f"{name}.oauthbearer.connections.max.reauth.ms=3600000",
        ]
        return "\n".join(lines + _tls(self.certificate))

    @property
    def environment(self) -> Mapping[str, str]:
        return {
            "KAFKA_SECURITY_PROTOCOL": self.protocol,
            "KAFKA_SASL_MECHANISM": "OAUTHBEARER",
            "KAFKA_SASL_OAUTHBEARER_TOKEN_ENDPOINT_URL": self.token_endpoint,
            "KAFKA_SASL_OAUTHBEARER_CLIENT_ID": USER,
            "KAFKA_SASL_OAUTHBEARER_CLIENT_SECRET": self.secret,
            **_trusting(self.certificate),
        }


Listener = Plain | Secured | MutualTLS | Bearer


def _tls(certificate: Certificate | None, trusted: Path | None = None) -> list[str]:
    if certificate is None:
        return []
    return [
        "ssl.keystore.type=PKCS12",
        f"ssl.keystore.location={certificate.keystore}",
        f"ssl.keystore.password={KEYSTORE_PASSWORD}",
        "ssl.truststore.type=PEM",
        f"ssl.truststore.location={trusted or certificate.pem}",
    ]


def _trusting(certificate: Certificate | None) -> Mapping[str, str]:
    return {"KAFKA_SSL_CAFILE": str(certificate.pem)} if certificate else {}
