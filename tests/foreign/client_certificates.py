"""An authority that certifies clients of Kafka, as a company's own does."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID


@dataclass(frozen=True)
class ClientCertificate:
    certfile: Path
    keyfile: Path


class Authority:
    """An authority, with what it issued in *folder*."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._name = name
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.pem = folder / f"{name}.pem"
        own = self._certificate(name, self._key, timedelta(days=30), authority=True)
        self.pem.write_bytes(own.public_bytes(Encoding.PEM))

    def issue(self, name: str, *, lasts: timedelta = timedelta(days=1), password: str = "") -> ClientCertificate:
        """Certify *name*; with negative *lasts*, the certificate has expired."""
        key = ec.generate_private_key(ec.SECP256R1())
        made = ClientCertificate(self._folder / f"{name}.pem", self._folder / f"{name}.key")
        made.certfile.write_bytes(self._certificate(name, key, lasts).public_bytes(Encoding.PEM))
        closed: KeySerializationEncryption = NoEncryption()
        if password:
            closed = BestAvailableEncryption(password.encode())
        made.keyfile.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, closed))
        return made

    def with_pem(self, other: Path) -> Path:
        """Return a file with this authority's certificate and with *other*."""
        both = self._folder / f"{self._name}-and-{other.name}"
        both.write_bytes(self.pem.read_bytes() + other.read_bytes())
        return both

    def _certificate(
        self, name: str, key: ec.EllipticCurvePrivateKey, lasts: timedelta, *, authority: bool = False
    ) -> x509.Certificate:
        def named(common: str) -> x509.Name:
            return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])

        now = datetime.now(UTC)
        made = (
            x509.CertificateBuilder()
            .subject_name(named(name))
            .issuer_name(named(self._name))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=2))
            .not_valid_after(now + lasts)
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        )
        return made.sign(self._key, SHA256())
