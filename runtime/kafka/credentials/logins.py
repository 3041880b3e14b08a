"""Logins with the credentials of the moment: aiokafka knows only a password that was right when the client was made.

It also takes a token's refusal for an admission: a broker refuses by a challenge, which aiokafka does not read.
"""

import json
from collections.abc import Callable
from typing import Any, Final

from aiokafka.conn import AIOKafkaConnection, OAuthAuthenticator
from aiokafka.errors import SaslAuthenticationFailed

from runtime.kafka.credentials.passwords import SecretFile
from runtime.kafka.credentials.tokens import Tokens

Authenticator = Callable[[AIOKafkaConnection], Any]

_plain: Final[Authenticator] = AIOKafkaConnection.authenticator_plain
_scram: Final[Authenticator] = AIOKafkaConnection.authenticator_scram


def log_in_anew() -> None:
    """Make every aiokafka client of this process read its password at each login, and heed a token's refusal, from now
    on.
    """
    AIOKafkaConnection.authenticator_plain = lambda connection: _with_password(connection, _plain)
    AIOKafkaConnection.authenticator_scram = lambda connection: _with_password(connection, _scram)
    AIOKafkaConnection.authenticator_oauth = lambda connection: _TokenLogin(connection._sasl_oauth_token_provider)  # noqa: SLF001 - no public way


def _with_password(connection: Any, authenticator: Authenticator) -> Any:
    # A connection logs in once.
    if isinstance(password := connection._sasl_plain_password, SecretFile):  # noqa: SLF001 - no public way
        connection._sasl_plain_password = password.read()  # noqa: SLF001 - see above
    return authenticator(connection)


class _TokenLogin(OAuthAuthenticator):  # type: ignore[misc] # aiokafka is Any to mypy
    """A login with a token. One that was refused is not used again."""

    def __init__(self, tokens: Tokens) -> None:
        super().__init__(sasl_oauth_token_provider=tokens)
        self._tokens: Final = tokens

    async def step(self, payload: bytes | None) -> tuple[bytes, bool] | None:
        if payload:
            raise SaslAuthenticationFailed(self._tokens.forget() or _status(payload))
        answer: tuple[bytes, bool] | None = await super().step(payload)
        return answer


def _status(challenge: bytes) -> str:
    try:
        return str(json.loads(challenge)["status"])
    except (ValueError, TypeError, KeyError):
        return "refused"
