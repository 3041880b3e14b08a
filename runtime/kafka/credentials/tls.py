"""TLS: the certificates that a client trusts, and its own, loaded again when their files change.

Certificates expire after days where a machine renews them. A new one counts from the next connection on.
"""

import os
import re
import ssl
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from runtime.kafka.credentials.faults import CredentialsUnavailable

_WRONG_PASSWORD: Final = ("BAD_DECRYPT", "BAD_PASSWORD_READ", "WRONG_PASSWORD", "MAC_VERIFY_FAILURE", "UNSUPPORTED")
_PEM: Final = re.compile("-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)
# The two UTCTimes of a certificate's validity: Python has no function that reads it.
_VALIDITY: Final = re.compile(r"0\x1e\x17\x0d\d{12}Z\x17\x0d(\d{12}Z)")


@dataclass(frozen=True)
class TLSFiles:
    """The files of a client. *password* returns that of the key, an empty one if the key is not encrypted."""

    cafile: str | None
    certfile: str | None
    keyfile: str | None
    password: Callable[[], str]

    def load_into(self, context: ssl.SSLContext) -> None:
        """Load all files. Raises CredentialsUnavailable."""
        if self.cafile:
            _load("KAFKA_SSL_CAFILE", self.cafile, lambda: context.load_verify_locations(self.cafile))
        if self.certfile:
            for variable, path in (("KAFKA_SSL_CERTFILE", self.certfile), ("KAFKA_SSL_KEYFILE", self.keyfile)):
                if path:
                    _load(variable, path, Path(path).read_bytes)
            self._load_pair(context, self.certfile)

    def state(self) -> tuple[object, ...]:
        """Return what is different after one of the files was replaced."""
        paths = (self.cafile, self.certfile, self.keyfile)
        try:
            return tuple((at.st_ino, at.st_mtime_ns, at.st_size) for at in map(os.stat, filter(None, paths)))
        except OSError:
            return ()

    @property
    def ended(self) -> datetime | None:
        """When the client's certificate ended; None if it has not, or can't be read."""
        try:
            pem = _PEM.search(Path(self.certfile or "").read_text("latin-1"))
            found = _VALIDITY.search(ssl.PEM_cert_to_DER_cert(pem[0]).decode("latin-1")) if pem else None
            ends = datetime.strptime(found[1] + "+0000", "%y%m%d%H%M%SZ%z") if found else None
        except (OSError, ValueError):
            return None
        return ends if ends is not None and ends < datetime.now(UTC) else None

    def _load_pair(self, context: ssl.SSLContext, certfile: str) -> None:
        password = self.password()
        try:
            # Without a password, OpenSSL would ask for one at the terminal.
            context.load_cert_chain(certfile, self.keyfile, password=lambda: password)
        except ssl.SSLError as error:
            raise CredentialsUnavailable(self._fault(error.reason or "", certfile, password)) from None
        except ValueError:
            raise CredentialsUnavailable("KAFKA_SSL_KEY_PASSWORD: is too long") from None

    def _fault(self, reason: str, certfile: str, password: str) -> str:
        variable, path = ("KAFKA_SSL_KEYFILE", self.keyfile) if self.keyfile else ("KAFKA_SSL_CERTFILE", certfile)
        if reason == "KEY_VALUES_MISMATCH":
            return f"{variable}: the key in {path} is not that of the certificate"
        if reason in _WRONG_PASSWORD or (not reason and b"ENCRYPTED" in Path(path).read_bytes()):
            fault = (
                f"does not open the key in {path}" if password else f"is not set, and the key in {path} is encrypted"
            )
            return f"KAFKA_SSL_KEY_PASSWORD: {fault}"
        if not _has_certificate(certfile):
            return f"KAFKA_SSL_CERTFILE: {certfile} has no certificate in PEM"
        return f"{variable}: {path} has no key in PEM"


def tls_context(files: TLSFiles) -> ssl.SSLContext:
    """Return a context that trusts the system's certificates if there is no `cafile`. Raises CredentialsUnavailable."""
    context = _ReloadingContext(ssl.PROTOCOL_TLS_CLIENT)
    if sys.version_info >= (3, 13):
        # As `ssl.create_default_context` has it.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | ssl.VERIFY_X509_STRICT
    if not files.cafile:
        context.load_default_certs()
    context.files = files
    context.load_changes()
    return context


class _ReloadingContext(ssl.SSLContext):
    """A context that looks, before each connection, whether its files were replaced. Several threads may use it."""

    files: TLSFiles

    def __init__(self, *_: object) -> None:
        self._lock: Final = threading.Lock()
        self._loaded: tuple[object, ...] | None = None

    def load_changes(self) -> None:
        """Load the files if they have changed. Raises CredentialsUnavailable."""
        with self._lock:
            self._load_changes()

    def wrap_bio(self, *given: Any, **named: Any) -> ssl.SSLObject:
        """Return what asyncio encrypts a new connection with."""
        with self._lock:
            self._load_changes()
            return super().wrap_bio(*given, **named)

    def _load_changes(self) -> None:
        if (state := self.files.state()) != self._loaded or not state:
            self._loaded = None
            self.files.load_into(self)
            self._loaded = state


def _load(variable: str, path: str, load: Callable[[], object]) -> None:
    try:
        load()
    except ssl.SSLError:
        raise CredentialsUnavailable(f"{variable}: {path} has no certificate in PEM") from None
    except OSError as error:
        raise CredentialsUnavailable(f"{variable}: {path} can't be read ({error.strerror})") from None


def _has_certificate(certfile: str) -> bool:
    return _PEM.search(Path(certfile).read_text("latin-1")) is not None
