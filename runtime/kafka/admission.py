"""Admission: the check whether Kafka accepts the KAFKA_* settings, and which of them is wrong if it does not.

aiokafka's clients only log why they could not connect. So a separate connection is tried first.
"""

import asyncio
import os
import socket
import ssl
from collections.abc import Mapping
from typing import Any, Final

from aiokafka.conn import collect_hosts
from aiokafka.errors import IllegalSaslStateError, SaslAuthenticationFailed, UnsupportedSaslMechanismError

from runtime.endings import CannotGoOn, Misconfigured
from runtime.kafka.broker import ANSWER_WITHIN_S, Broker
from runtime.kafka.credentials.faults import CredentialsRefused, CredentialsUnavailable
from runtime.kafka.credentials.passwords import SecretFile
from runtime.kafka.credentials.tls import TLSFiles

# OpenSSL's error codes of certificate verification.
_NOT_OF_THIS_TIME: Final = (9, 10)
_OF_OTHER_NAMES: Final = (62, 63, 64)


class KafkaAway(CannotGoOn):
    """No broker accepts a connection now, but the settings may be right. The message says why."""


class KafkaRefused(Misconfigured):
    """A broker answered, and only other settings can help. The message names the variable."""


class LoginRefused(KafkaRefused):
    """A broker refused the credentials. It may accept them later; if they *may_change*, it may accept others then."""

    def __init__(self, message: str, *, may_change: bool) -> None:
        super().__init__(message)
        self.may_change: Final = may_change


class Admission:
    """Stores whether Kafka has accepted the settings once: a later refusal is no misconfiguration then.

    A refused login is none at any time where the credentials may change without a restart, or with *waits_for_login*.
    """

    def __init__(self, options: Mapping[str, Any], *, waits_for_login: bool = False) -> None:
        self._options: Final = options
        self._waits_for_login: Final = waits_for_login
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
            if self._granted or self._passes(refused):
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
        return f"a broker does not answer, although Kafka takes connections ({type(error).__name__})"

    def _passes(self, refused: KafkaRefused) -> bool:
        return isinstance(refused, LoginRefused) and (self._waits_for_login or refused.may_change)


async def ask_admission(options: Mapping[str, Any]) -> None:
    """Return when a broker accepts a connection with our clients' *options*. Raises KafkaRefused, KafkaAway."""
    await _have_credentials(options)
    brokers = [Broker(host, port, options) for host, port, _ in collect_hosts(options["bootstrap_servers"])]
    asking = [asyncio.create_task(why_not(broker)) for broker in brokers]
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


async def _have_credentials(options: Mapping[str, Any]) -> None:
    try:
        if (context := options["ssl_context"]) is not None:
            context.load_changes()
        if isinstance(password := options.get("sasl_plain_password"), SecretFile):
            password.read()
        if (tokens := options.get("sasl_oauth_token_provider")) is not None:
            await tokens.token()
    except CredentialsRefused as error:
        raise LoginRefused(str(error), may_change=True) from None
    except CredentialsUnavailable as error:
        raise KafkaAway(str(error)) from None


async def why_not(broker: Broker) -> KafkaRefused | KafkaAway | None:
    """Return why *broker* lets no connection in, None if it does."""
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


async def _reason(broker: Broker, fault: BaseException) -> KafkaRefused | KafkaAway:
    match fault:
        case ssl.SSLCertVerificationError():
            return _of_its_certificate(broker, fault)
        case SaslAuthenticationFailed():
            return _of_the_login(broker, fault)
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
            return _of_our_certificate(broker, fault) or await _other_protocol(broker) or _away(fault)


def _of_the_login(broker: Broker, fault: SaslAuthenticationFailed) -> LoginRefused:
    if (tokens := broker.options.get("sasl_oauth_token_provider")) is not None:
        words = tokens.issuer.refused.format(broker=broker.name, status=fault.args[0])
        return LoginRefused(words, may_change=True)
    words = f"KAFKA_SASL_PASSWORD: {broker.name} does not accept it for the user KAFKA_SASL_USERNAME"
    return LoginRefused(words, may_change=isinstance(broker.options["sasl_plain_password"], SecretFile))


def _of_our_certificate(broker: Broker, fault: BaseException) -> KafkaRefused | None:
    """Return the refusal of the client's certificate, if the broker's TLS alert is one."""
    alert = (fault.reason or "").partition("_ALERT_")[2] if isinstance(fault, ssl.SSLError) else ""
    if not any(part in alert for part in ("CERTIFICATE", "UNKNOWN_CA", "ACCESS_DENIED")):
        return None
    files: TLSFiles = broker.options["ssl_context"].files
    if not files.certfile:
        return KafkaRefused(f"KAFKA_SSL_CERTFILE: is not set, and {broker.name} asks for a client's certificate")
    # Java's brokers call an expired one unknown.
    words = f"it ended {files.ended:%Y-%m-%d %H:%M} UTC" if files.ended else alert.replace("_", " ").lower()
    return LoginRefused(f"KAFKA_SSL_CERTFILE: {broker.name} does not accept it ({words})", may_change=True)


def _of_its_certificate(broker: Broker, fault: ssl.SSLCertVerificationError) -> KafkaRefused | KafkaAway:
    words = fault.verify_message.rstrip(".")
    if fault.verify_code in _NOT_OF_THIS_TIME:
        # The broker's operator has to renew the certificate; then the connection works without a restart.
        return KafkaAway(f"its {words}")
    if fault.verify_code in _OF_OTHER_NAMES:
        return KafkaRefused(f"KAFKA_BOOTSTRAP_SERVERS: the certificate of {broker.name} has other names ({words})")
    return KafkaRefused(f"KAFKA_SSL_CAFILE: the certificate of {broker.name} is not trusted ({words})")


async def _other_protocol(broker: Broker) -> KafkaRefused | None:
    """Return the protocol that the broker uses, if it is another one: it closes connections of any other protocol."""
    if not broker.tls and await broker.speaks_tls():
        return KafkaRefused(_protocol(broker, f"speaks TLS: set {'SASL_SSL' if broker.sasl else 'SSL or SASL_SSL'}"))
    if broker.tls and await broker.speaks_plainly():
        return KafkaRefused(_protocol(broker, "speaks no TLS"))
    if not broker.sasl and (taken := await broker.mechanisms()):
        secured = "SASL_SSL" if broker.tls else "SASL_PLAINTEXT"
        return KafkaRefused(_protocol(broker, f"asks for a user: set {secured} ({' or '.join(taken)})"))
    return None


def _protocol(broker: Broker, finding: str) -> str:
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
