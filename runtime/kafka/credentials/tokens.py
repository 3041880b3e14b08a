"""Tokens of SASL OAUTHBEARER: each is used for most of its life, by all clients of the process."""

import asyncio
import json
import threading
import time
from abc import ABC, abstractmethod
from base64 import urlsafe_b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from aiokafka.abc import AbstractTokenProvider

# A token is replaced before it ends: by this part of its life, and by a minute at most.
_REPLACED_BEFORE_END: Final = 0.2
_AT_MOST_S: Final = 60.0


@dataclass(frozen=True)
class Token:
    """A token, and for how many seconds it is valid."""

    value: str
    lasts_s: float


class TokenIssuer(ABC):
    """What issues tokens. Its methods are called in a thread."""

    #: The variable that a broker's refusal of its tokens is about, and what may be wrong.
    refused: str

    @abstractmethod
    def issue(self) -> Token:
        """Return a new token. Raises CredentialsUnavailable, and CredentialsRefused."""


class Tokens(AbstractTokenProvider):  # type: ignore[misc] # aiokafka is Any to mypy
    """The tokens of *issuer*, for aiokafka's clients of any event loop. *extensions* go to the broker with each."""

    def __init__(self, issuer: TokenIssuer, extensions: Mapping[str, str]) -> None:
        self.issuer: Final = issuer
        self._extensions: Final = extensions
        self._lock: Final = threading.Lock()
        self._token: Token | None = None
        self._replaced_at = 0.0

    async def token(self) -> str:
        """Return a token that is valid for a while. Raises CredentialsUnavailable, and CredentialsRefused."""
        return await asyncio.to_thread(self._current)

    def extensions(self) -> Mapping[str, str]:
        return self._extensions

    def forget(self) -> str:
        """Get a new token for the next login. Return what is wrong with the present one, if that can be told."""
        token, self._token = self._token, None
        return "it has expired" if token is not None and _has_expired(token.value) else ""

    def _current(self) -> str:
        with self._lock:
            if (token := self._token) is None or time.monotonic() >= self._replaced_at:
                asked_at = time.monotonic()
                token = self._token = self.issuer.issue()
                used_s = token.lasts_s - min(token.lasts_s * _REPLACED_BEFORE_END, _AT_MOST_S)
                self._replaced_at = asked_at + used_s
            return token.value


def _has_expired(token: str) -> bool:
    """Return whether *token* is a JSON Web Token whose time is over. Others tell nothing."""
    try:
        _, claims, _ = token.split(".")
        ends = json.loads(urlsafe_b64decode(f"{claims}==="))["exp"]
        return bool(ends < time.time())
    except (ValueError, TypeError, KeyError):
        return False
