"""The check of the intake's bearer tokens (RFC 6750)."""

import hashlib
import hmac
from collections.abc import Iterable
from typing import Final

from producer.intake.problems import Problem


class Bearer:
    """Stores the digests of the tokens. There may be several tokens, so that one can be rotated without a gap."""

    def __init__(self, tokens: Iterable[str]) -> None:
        self._digests: Final = [_digest(token) for token in tokens]

    def admit(self, authorization: str | None) -> None:
        """Return if the Authorization header contains one of the tokens. Raises Problem, `unauthorized`."""
        scheme, _, token = (authorization or "").strip().partition(" ")
        if scheme.lower() != "bearer":
            raise Problem(
                "unauthorized",
                "the header Authorization should hold `Bearer` and a token",
                headers={"WWW-Authenticate": "Bearer"},
            )
        # All digests, which have equal lengths, are compared: the time that it takes shows nothing about a token.
        matches = [hmac.compare_digest(_digest(token.strip()), known) for known in self._digests]
        if not any(matches):
            raise Problem(
                "unauthorized",
                "the token is not one of PRODUCER_INTAKE_TOKEN",
                headers={"WWW-Authenticate": 'Bearer error="invalid_token"'},
            )


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode(errors="surrogateescape")).digest()
