"""Access: who may see a page, and who may act. Every route needs a signed-in person unless it is named here.

Every request but GET and HEAD needs an operator, and a token that proves that the form came from this console.
"""

import hashlib
import hmac
from ipaddress import ip_address
from typing import Final

from fastapi import Request
from pydantic import SecretStr

from console.person import Person, Role
from console.settings import Settings
from console.web.sessions import Session, Sessions
from runtime.logs import log

COOKIE: Final = "console_session"
CSRF_HEADER: Final = "X-CSRF-Token"
CSRF_FIELD: Final = "csrf"
SIGN_IN: Final = "/sign-in"
SIGN_OUT: Final = "/sign-out"
# The sign-in page, and the routes of health probes and metrics, need no person.
OPEN: Final = frozenset({SIGN_IN, "/v1/health", "/v1/health/live", "/metrics"})
# The routes that anyone may post to: they change only one's own session.
FOR_ANYBODY: Final = frozenset({SIGN_IN, SIGN_OUT})
_SAFE: Final = frozenset({"GET", "HEAD"})


class SignInNeeded(Exception):
    """Nobody is signed in."""


class Forbidden(Exception):
    """The request is not allowed; the message says why."""


class Access:
    """Signs people in, and checks every request."""

    def __init__(self, settings: Settings, sessions: Sessions) -> None:
        tokens: dict[Role, SecretStr | None] = {
            "operator": settings.console_operator_token,
            "reader": settings.console_reader_token,
        }
        self._digests: Final = {
            role: _digest(token.get_secret_value()) for role, token in tokens.items() if token is not None
        }
        self._settings: Final = settings
        self._sessions: Final = sessions

    @property
    def takes_tokens(self) -> bool:
        return bool(self._digests)

    def sign_in(self, token: str) -> Session | None:
        """Return a new session of the role that has this *token*; None for an unknown token."""
        shown = _digest(token.strip())
        # Every token is compared, by digests of equal length: the time reveals nothing about a token.
        matching = [role for role, digest in self._digests.items() if hmac.compare_digest(shown, digest)]
        if not matching:
            log.warning("console.sign_in_refused")
            return None
        return self._sessions.begin(Person(f"{matching[0]} token", matching[0]))

    async def check(self, request: Request) -> None:
        """Check a request, and set `session` and `person` in its state. Raises SignInNeeded and Forbidden."""
        path = request.url.path
        session = self._sessions.of(request.cookies.get(COOKIE))
        person = self._person(request, session)
        if person is None and path not in OPEN:
            # No session is begun: requests without a person must not displace other sessions.
            raise SignInNeeded
        if session is None:
            session = self._sessions.begin(known=person is not None)
        request.state.session, request.state.person = session, person
        if request.method in _SAFE:
            return
        await _check_that_the_form_is_ours(request, session)
        if path not in FOR_ANYBODY and (person is None or not person.may_act):
            raise Forbidden("you may only look: acting needs the role operator")

    def _person(self, request: Request, session: Session | None) -> Person | None:
        signed_in = session.person if session is not None else None
        if (header := self._settings.console_proxy_header) is None:
            return signed_in
        named = self._named_by_a_proxy(request, header)
        # A person whom the proxy no longer names has signed out there. With tokens, the session's person counts too.
        return named if named is not None or not self.takes_tokens else signed_in

    def _named_by_a_proxy(self, request: Request, header: str) -> Person | None:
        names = [name.strip() for name in request.headers.getlist(header)]
        peer = request.client.host if request.client else ""
        # Two headers are the proxy's own and a forged one that a client sent to it.
        if len(names) != 1 or not names[0] or not self._is_trusted(peer):
            return None
        return Person(names[0], "operator" if names[0] in self._settings.console_operators else "reader")

    def _is_trusted(self, peer: str) -> bool:
        try:
            address = ip_address(peer)
        except ValueError:
            return False
        return any(address in network for network in self._settings.console_trusted_proxies)


async def _check_that_the_form_is_ours(request: Request, session: Session) -> None:
    # Browsers send this header. Other clients may omit it: a page of another site can't make them send requests.
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise Forbidden("the request comes from another site")
    shown = request.headers.get(CSRF_HEADER)
    if shown is None:
        shown = str((await request.form()).get(CSRF_FIELD, ""))
    if not hmac.compare_digest(shown.encode(), session.csrf.encode()):
        raise Forbidden("the page is too old, or not from this console: load it again")


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode(errors="surrogateescape")).digest()
