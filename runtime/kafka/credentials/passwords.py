"""A password in a file, which every login reads again: it may have been rotated meanwhile."""

from dataclasses import dataclass

from pydantic import SecretStr

from runtime.kafka.credentials.faults import CredentialsUnavailable
from runtime.settings import HasSecrets


@dataclass(frozen=True)
class SecretFile:
    """The secret *name* of *settings*, as its file has it at the moment."""

    settings: HasSecrets
    name: str

    def read(self) -> str:
        """Return the secret, an empty one if there is none. Raises CredentialsUnavailable, which names the variable."""
        try:
            secret: SecretStr | None = self.settings.read_again(self.name)
        except ValueError as error:
            raise CredentialsUnavailable(str(error)) from None
        return secret.get_secret_value() if secret is not None else ""
