"""Tokens of Amazon MSK by IAM: signed by the credentials that AWS's libraries find, such as a role's."""

import time
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Final

from runtime.kafka.credentials.faults import CredentialsUnavailable
from runtime.kafka.credentials.tokens import Token, TokenIssuer

# In aiokafka's words; MSK itself calls its mechanism AWS_MSK_IAM.
_SIGNER: Final = "aws_msk_iam_sasl_signer"


def is_installed() -> bool:
    """Return whether the library that signs is there: the extra `msk-iam` has it."""
    return find_spec(_SIGNER) is not None


@dataclass(frozen=True)
class MSKSigner(TokenIssuer):
    """Signs tokens for the clusters of *region*."""

    region: str

    refused = "KAFKA_SASL_MECHANISM: {broker} does not accept the AWS credentials for AWS_MSK_IAM ({status})"

    def issue(self) -> Token:
        # The library is large, and only those who use it have it.
        from aws_msk_iam_sasl_signer import MSKAuthTokenProvider  # noqa: PLC0415 - see above

        try:
            token, ends_at_ms = MSKAuthTokenProvider.generate_auth_token(self.region)
        except Exception as error:  # noqa: BLE001 - the library and those below it document none
            why = f"{type(error).__name__}: {error}".partition("\n")[0]
            raise CredentialsUnavailable(f"KAFKA_SASL_MECHANISM: AWS_MSK_IAM has no credentials ({why})") from None
        return Token(token, ends_at_ms / 1000 - time.time())
