"""The listener: how clients connect to the embedded Kafka, without authentication or as a user, with or without TLS.

`properties` are lines of server.properties, `format_options` options of the storage tool, and `environment` the
settings of clients.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
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
        if self.certificate:
            lines += [
                "ssl.keystore.type=PKCS12",
                f"ssl.keystore.location={self.certificate.keystore}",
                f"ssl.keystore.password={KEYSTORE_PASSWORD}",
                "ssl.truststore.type=PEM",
                f"ssl.truststore.location={self.certificate.pem}",
            ]
        return "\n".join(lines)

    @property
    def format_options(self) -> list[str]:
        return ["--add-scram", f"{_SCRAM}=[name={USER},password={self.password}]"]

    @property
    def environment(self) -> Mapping[str, str]:
        known = {"KAFKA_SSL_CAFILE": str(self.certificate.pem)} if self.certificate else {}
        return {
            "KAFKA_SECURITY_PROTOCOL": self.protocol,
            "KAFKA_SASL_MECHANISM": self.mechanism,
            "KAFKA_SASL_USERNAME": USER,
            "KAFKA_SASL_PASSWORD": self.password,
            **known,
        }


Listener = Plain | Secured
