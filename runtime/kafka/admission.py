"""Admission: the check whether Kafka accepts the KAFKA_* settings, and which of them is wrong if it does not.

aiokafka's clients only log why they could not connect. So a separate connection is tried first.
"""

import asyncio
import os
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from aiokafka.conn import AIOKafkaConnection, collect_hosts
from aiokafka.errors import IllegalSaslStateError, SaslAuthenticationFailed, UnsupportedSaslMechanismError
from aiokafka.protocol.admin import SaslHandShakeRequest
from aiokafka.protocol.metadata import MetadataRequest

from runtime.endings import CannotGoOn, Misconfigured

ANSWER_WITHIN_S: Final = 3.0
CLOSE_WITHIN_S: Final = 0.5
# OpenSSL's error codes of certificate verification.
_NOT_OF_THIS_TIME: Final = (9, 10)
_OF_OTHER_NAMES: Final = (62, 63, 64)


class KafkaAway(CannotGoOn):
    """No broker accepts a connection now, but the settings may be right. The message says why."""


class KafkaRefused(Misconfigured):
    """A broker answered, and only other settings can help. The message names the variable."""


class LoginRefused(KafkaRefused):
    """A broker refused the user or the password. It may accept them later, or accept what is read from a file then."""


class Admission:
    """Stores whether Kafka has accepted the settings once: a later refusal is no misconfiguration then.

    With *login_refused*, a refused login is none at any time; it is called for each, and may change *options*.
    """

    def __init__(self, options: Mapping[str, Any], login_refused: Callable[[], None] | None = None) -> None:
        self._options: Final = options
        self._login_refused: Final = login_refused
        self._granted = False

    def granted(self) -> None:
        """Record that Kafka accepted one of our clients."""
        self._granted = True

    async def ask(self) -> None:
        """Return when a broker accepts a connection. Raises KafkaAway and, until one has accepted the settings,
        KafkaRefused.
        """
        try:
            await ask_admission(self._options)
        except KafkaRefused as refused:
            passes = self._granted
            if isinstance(refused, LoginRefused) and self._login_refused is not None:
                self._login_refused()
                passes = True
            if passes:
                raise KafkaAway(str(refused)) from None
            raise
        self._granted = True

    async def why(self, error: BaseException) -> str:
        """Return why a client of ours failed with *error*. Raises KafkaRefused until Kafka has accepted the settings
        once.
        """
        try:
            await self.ask()
        except KafkaAway as away:
            return str(away)
        return f"KAFKA_BOOTSTRAP_SERVERS: no broker answers ({type(error).__name__})"


async def ask_admission(options: Mapping[str, Any]) -> None:
    """Return when a broker accepts a connection with our clients' *options*. Raises KafkaRefused, KafkaAway."""
    brokers = [_Broker(host, port, options) for host, port, _ in collect_hosts(options["bootstrap_servers"])]
    asking = [asyncio.create_task(_why_not(broker)) for broker in brokers]
    away = []
    refused = None
    try:
        for answer in asyncio.as_completed(asking):
            match await answer:
                case None:
                    return
                case KafkaRefused() as fault:
                    refused = fault
                case KafkaAway() as fault:
                    away.append(str(fault))
    finally:
        for task in asking:
            task.cancel()
        await asyncio.wait(asking)
    servers = ", ".join(broker.name for broker in brokers)
    raise refused or KafkaAway(f"KAFKA_BOOTSTRAP_SERVERS: no broker answers at {servers} ({away[0]})")


@dataclass(frozen=True)
class _Broker:
    host: str
    port: int
    options: Mapping[str, Any]

    @property
    def name(self) -> str:
        return f"{self.host}:{self.port}"

    @property
    def protocol(self) -> str:
        return str(self.options.get("security_protocol", "PLAINTEXT"))

    @property
    def tls(self) -> bool:
        return self.protocol.endswith("SSL")

    @property
    def sasl(self) -> bool:
        return self.protocol.startswith("SASL")

    @asynccontextmanager
    async def connection(self, protocol: str) -> AsyncIterator[AIOKafkaConnection]:
        asked = {name: value for name, value in self.options.items() if name.startswith(("sasl_", "ssl_"))}
        closing = asyncio.Event()
        connection = AIOKafkaConnection(
            self.host,
            self.port,
            security_protocol=protocol,
            request_timeout_ms=int(ANSWER_WITHIN_S * 1000),
            on_close=lambda *_: closing.set(),
            **asked,
        )
        try:
            await connection.connect()
            yield connection
        finally:
            closed = connection.close()
            # aiokafka calls `on_close` only for an open connection. TLS sends a closing message and waits for the
            # answer.
            if closing.is_set():
                await asyncio.wait([closed], timeout=CLOSE_WITHIN_S)

    async def let_in(self) -> None:
        async with self.connection(self.protocol) as connection:
            # A broker answers a request for its API versions to any client, but this request only to an authenticated
            # one.
            await connection.send(MetadataRequest([]))

    async def mechanisms(self) -> list[str]:
        """Return the broker's SASL mechanisms; an empty list if it has none, or does not answer."""
        asked = str(self.options.get("sasl_mechanism", "PLAIN"))
        try:
            async with self.connection("SSL" if self.tls else "PLAINTEXT") as connection:
                return list((await connection.send(SaslHandShakeRequest(asked))).enabled_mechanisms)
        except Exception:  # noqa: BLE001 - an unknown server may cause any error
            return []

    async def speaks_plainly(self) -> bool:
        try:
            async with self.connection("PLAINTEXT"):
                return True
        except Exception:  # noqa: BLE001 - an unknown server may cause any error
            return False

    async def speaks_tls(self) -> bool:
        # Any certificate is accepted, because nothing is sent.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        try:
            _, writer = await asyncio.open_connection(self.host, self.port, ssl=context)
        except OSError:
            return False
        writer.transport.abort()
        return True


async def _why_not(broker: _Broker) -> KafkaRefused | KafkaAway | None:
    try:
        async with asyncio.timeout(ANSWER_WITHIN_S):
            await broker.let_in()
    except Exception as error:  # noqa: BLE001 - an unknown server may cause any error
        fault = error
    else:
        return None
    try:
        async with asyncio.timeout(ANSWER_WITHIN_S):
            return await _reason(broker, _cause(fault))
    except TimeoutError:
        return _away(fault)


async def _reason(broker: _Broker, fault: BaseException) -> KafkaRefused | KafkaAway:
    match fault:
        case ssl.SSLCertVerificationError():
            return _of_its_certificate(broker, fault)
        case SaslAuthenticationFailed():
            return LoginRefused(
                f"KAFKA_SASL_PASSWORD: {broker.name} does not accept it for the user KAFKA_SASL_USERNAME"
            )
        case UnsupportedSaslMechanismError():
            taken = " or ".join(await broker.mechanisms()) or "others"
            return KafkaRefused(
                f"KAFKA_SASL_MECHANISM: is {broker.options.get('sasl_mechanism')}, and {broker.name} accepts {taken}"
            )
        case IllegalSaslStateError():
            return KafkaRefused(_protocol(broker, "takes no user: set SSL" if broker.tls else "takes no user"))
        case TimeoutError():
            return _away(fault)
        case _:
            return await _other_protocol(broker) or _away(fault)


def _of_its_certificate(broker: _Broker, fault: ssl.SSLCertVerificationError) -> KafkaRefused | KafkaAway:
    words = fault.verify_message.rstrip(".")
    if fault.verify_code in _NOT_OF_THIS_TIME:
        # The broker's operator has to renew the certificate; then the connection works without a restart.
        return KafkaAway(f"its {words}")
    if fault.verify_code in _OF_OTHER_NAMES:
        return KafkaRefused(f"KAFKA_BOOTSTRAP_SERVERS: the certificate of {broker.name} has other names ({words})")
    return KafkaRefused(f"KAFKA_SSL_CAFILE: the certificate of {broker.name} is not trusted ({words})")


async def _other_protocol(broker: _Broker) -> KafkaRefused | None:
    """Return the protocol that the broker uses, if it is another one: it closes connections of any other protocol."""
    if not broker.tls and await broker.speaks_tls():
        return KafkaRefused(_protocol(broker, f"speaks TLS: set {'SASL_SSL' if broker.sasl else 'SSL or SASL_SSL'}"))
    if broker.tls and await broker.speaks_plainly():
        return KafkaRefused(_protocol(broker, "speaks no TLS"))
    if not broker.sasl and (taken := await broker.mechanisms()):
        secured = "SASL_SSL" if broker.tls else "SASL_PLAINTEXT"
        return KafkaRefused(_protocol(broker, f"asks for a user: set {secured} ({' or '.join(taken)})"))
    return None


def _protocol(broker: _Broker, finding: str) -> str:
    return f"KAFKA_SECURITY_PROTOCOL: is {broker.protocol}, and {broker.name} {finding}"


def _away(fault: BaseException) -> KafkaAway:
    match fault:
        case TimeoutError():
            return KafkaAway(f"nothing within {ANSWER_WITHIN_S:g} s")
        case ssl.SSLError(reason=str(words)):
            return KafkaAway(f"TLS: {words}")
        case socket.gaierror(strerror=str(words)):
            return KafkaAway(words)
        case OSError(errno=int(number)):
            # asyncio's own message repeats the address, which the caller adds.
            return KafkaAway(os.strerror(number))
        case _:
            return KafkaAway(type(fault).__name__)


def _cause(error: BaseException) -> BaseException:
    # The cause of a timeout is only a cancellation.
    while error.__cause__ is not None and not isinstance(error, TimeoutError):
        error = error.__cause__
    return error
