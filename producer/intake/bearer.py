"""The bearer tokens that open the intake (RFC 6750)."""

import hashlib
import hmac
from collections.abc import Iterable
from typing import Final

from producer.intake.problems import Problem


class Bearer:
    """Knows the tokens by their digests. There may be several, so that one can be rotated without a gap."""

    def __init__(self, tokens: Iterable[str]) -> None:
        self._digests: Final = [_digest(token) for token in tokens]

    def admit(self, authorization: str | None) -> None:
        """Return when the Authorization header holds one of the tokens. Raises Problem, `unauthorized`."""
        scheme, _, token = (authorization or "").strip().partition(" ")
        if scheme.lower() != "bearer":
            raise Problem(
                "unauthorized",
                "the header Authorization should hold `Bearer` and a token",
                headers={"WWW-Authenticate": "Bearer"},
            )
        # All of them, and digests of one length: the time it takes tells nothing about a token.
        matches = [hmac.compare_digest(_digest(token.strip()), known) for known in self._digests]
        if not any(matches):
            raise Problem(
                "unauthorized",
                "the token is not one of PRODUCER_INTAKE_TOKEN",
                headers={"WWW-Authenticate": 'Bearer error="invalid_token"'},
            )


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode(errors="surrogateescape")).digest()
