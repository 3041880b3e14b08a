"""A self-signed certificate for a server on this machine, made by Java's keytool."""

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from sandbox.java import java
from sandbox.processes import ProcessFailed

# The password protects nothing: the keystore is deleted with its folder.
KEYSTORE_PASSWORD: Final = "of-the-sandbox"  # noqa: S105 - see above
_ALIAS: Final = "server"
# The extensions that Python requires of a self-signed server certificate.
_EXTENSIONS: Final = ("bc:critical=ca:true", "ku:critical=digitalSignature,keyCertSign")


@dataclass(frozen=True)
class Certificate:
    """*keystore* is for the server, *pem* for the clients that trust it."""

    keystore: Path
    pem: Path

    @classmethod
    def make(cls, folder: Path, *, of: str = "ip:127.0.0.1", begins: str = "-1d", days: int = 30) -> Self:
        """Make a certificate in *folder*. *of* and *begins* are in keytool's syntax."""
        folder.mkdir(parents=True, exist_ok=True)
        made = cls(folder / "server.p12", folder / "server.pem")
        extensions = [word for extension in (*_EXTENSIONS, f"san={of}") for word in ("-ext", extension)]
        key = ["-keyalg", "EC", "-groupname", "secp256r1", "-dname", "CN=sandbox"]
        _keytool("-genkeypair", made.keystore, *key, "-startdate", begins, "-validity", str(days), *extensions)
        _keytool("-exportcert", made.keystore, "-rfc", "-file", str(made.pem))
        return made


def _keytool(command: str, keystore: Path, *options: str) -> None:
    store = ["-keystore", str(keystore), "-storetype", "PKCS12", "-storepass", KEYSTORE_PASSWORD, "-alias", _ALIAS]
    tool = java().with_name("keytool")
    done = subprocess.run([tool, command, *store, *options], capture_output=True, text=True, check=False)
    if done.returncode:
        raise ProcessFailed(f"{tool} {command}: {done.stdout}{done.stderr}")
