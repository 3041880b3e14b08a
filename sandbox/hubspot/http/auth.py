"""Tokens: authentication and scopes of calls."""

import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

from sandbox.hubspot.clock import Clock, iso
from sandbox.hubspot.http.answers import Refused, refuse

CONTACTS_READ: Final = "crm.objects.contacts.read"
CONTACTS_WRITE: Final = "crm.objects.contacts.write"
SCHEMAS_READ: Final = "crm.schemas.contacts.read"
SCHEMAS_WRITE: Final = "crm.schemas.contacts.write"
SEND_EVENTS: Final = "analytics.behavioral_events.send"
DEFINE_EVENTS: Final = "behavioral_events.event_definitions.read_write"
EXPORT: Final = "crm.export"
ALL_SCOPES: Final = (CONTACTS_READ, CONTACTS_WRITE, SCHEMAS_READ, SCHEMAS_WRITE, SEND_EVENTS, DEFINE_EVENTS, EXPORT)

_FORM: Final = re.compile(r"pat-[a-z]{2}\d+-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_NO_CREDENTIALS: Final = (
    "Authentication credentials not found. This API supports OAuth 2.0 authentication and you can find more details at "
    "https://developers.hubspot.com/docs/methods/auth/oauth-overview"
)
_NO_SCOPE: Final = (
    "This app hasn't been granted all required scopes to make this call. Read more about required scopes here: "
    "https://developers.hubspot.com/scopes."
)


@dataclass(frozen=True, slots=True)
class Grant:
    """The scopes of a token. A revoked token is kept, so that it is refused as expired."""

    scopes: frozenset[str]
    revoked_at: datetime | None = None


class Tokens:
    """The portal's tokens; several are valid at once, as during a rotation."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._grants: dict[str, Grant] = {}

    def add(self, token: str, scopes: tuple[str, ...] = ALL_SCOPES) -> None:
        """Add a token. Raises ValueError, without the token in its message, if it does not have HubSpot's form."""
        if not _FORM.fullmatch(token):
            raise ValueError("a token has the form pat-na1-<uuid>")
        self._grants[token] = Grant(frozenset(scopes))

    def revoke(self, token: str) -> None:
        """Revoke a token. Raises KeyError, without the token in its message, if it is unknown."""
        if token not in self._grants:
            raise KeyError("no such token")
        self._grants[token] = replace(self._grants[token], revoked_at=self._clock.now())

    def grant(self, token: str) -> Grant | None:
        """Return the grant of a valid token; None for an unknown or revoked one."""
        grant = self._grants.get(token)
        return grant if grant and grant.revoked_at is None else None

    def authenticate(self, authorization: str) -> str:
        """Return the token of an Authorization header. Raises Refused with 401."""
        scheme, _, token = authorization.partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token:
            raise refuse(401, _NO_CREDENTIALS, "INVALID_AUTHENTICATION")
        grant = self._grants.get(token)
        if grant is None:
            # HubSpot decodes the expiry of an unknown token as zero, and reports it as expired since 1970.
            raise self._expired(_EPOCH)
        if grant.revoked_at is not None:
            raise self._expired(grant.revoked_at)
        return token

    def is_malformed(self, authorization: str) -> bool:
        """Return whether the header has a token that HubSpot can not have issued."""
        scheme, _, token = authorization.partition(" ")
        return scheme.lower() == "bearer" and bool(token.strip()) and not _FORM.fullmatch(token.strip())

    def authorise(self, token: str, scopes: tuple[str, ...]) -> None:
        """Check the scopes of a token. Raises Refused with 403 unless it has one of *scopes*."""
        grant = self._grants.get(token)
        if scopes and (grant is None or grant.scopes.isdisjoint(scopes)):
            raise missing_scopes(scopes)

    def _expired(self, at: datetime) -> Refused:
        ago = self._clock.now() - at
        since = f"{ago.days} day(s)" if ago.days else f"{ago.seconds} second(s)"
        return refuse(
            401,
            f"The OAuth token used to make this call expired {since} ago.",
            "EXPIRED_AUTHENTICATION",
            context={"expire time": [iso(at) if at != _EPOCH else "1970-01-01T00:00:00Z"]},
        )


def missing_scopes(scopes: tuple[str, ...]) -> Refused:
    needed = {
        "message": "One or more of the following scopes are required.",
        "context": {"requiredGranularScopes": list(scopes)},
    }
    return refuse(
        403,
        _NO_SCOPE,
        "MISSING_SCOPES",
        errors=[needed],
        links={"scopes": "https://developers.hubspot.com/scopes"},
    )


def masked(token: str) -> str:
    """Return a token with its middle hidden, for display."""
    return f"{token[:8]}…{token[-4:]}" if _FORM.fullmatch(token) else ("…" if token else "")
