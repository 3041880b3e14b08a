"""Access: who may see a page, and who may act. Every route needs a signed-in person unless it is named here.

Every request but GET and HEAD needs an operator, and a token that proves that the form came from this console.
"""

import hashlib
import hmac
from typing import Final

from fastapi import Request
from pydantic import SecretStr

from console.person import Person, Role
from console.settings import Settings
from console.web.attempts import Attempts, TooManyAttempts
from console.web.forms import read_form
from console.web.proxies import Proxies
from console.web.sessions import Session, Sessions
from runtime.clock import Clock
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

    def __init__(self, settings: Settings, sessions: Sessions, clock: Clock) -> None:
        tokens: dict[Role, SecretStr | None] = {
            "operator": settings.console_operator_token,
            "reader": settings.console_reader_token,
        }
        self._digests: Final = {
            role: _digest(token.get_secret_value()) for role, token in tokens.items() if token is not None
        }
        self._settings: Final = settings
        self._sessions: Final = sessions
        self._proxies: Final = Proxies(settings.console_trusted_proxies)
        self._attempts: Final = Attempts(clock)

    @property
    def takes_tokens(self) -> bool:
        return bool(self._digests)

    def sign_in(self, request: Request, token: str) -> Session | None:
        """Return a new session of the role that has this *token*; None for an unknown token. Raises TooManyAttempts."""
        address = self._proxies.address(request)
        if wait_s := self._attempts.wait_s(address):
            raise TooManyAttempts(wait_s)
        shown = _digest(token.strip())
        # Every token is compared, by digests of equal length: the time reveals nothing about a token.
        matching = [role for role, digest in self._digests.items() if hmac.compare_digest(shown, digest)]
        if not matching:
            self._attempts.count_wrong(address)
            # Attempts that are not looked at have no line: they may come in any number.
            log.warning("console.sign_in_refused", address=address, wait_s=round(self._attempts.wait_s(address)))
            return None
        return self._sessions.begin(Person(f"{matching[0]} token", matching[0]))

    async def check(self, request: Request) -> None:
        """Check a request, and set `session`, `person` and, except for a GET, `form` in its state.

        Raises SignInNeeded, Forbidden, and what `read_form` raises.
        """
        path = request.scope["path"]
        session = self._sessions.of(request.cookies.get(COOKIE))
        person = self._person(request, session)
        if person is None and path not in OPEN:
            raise SignInNeeded
        request.state.session, request.state.person = session, person
        if request.method in _SAFE:
            return
        request.state.form = await read_form(request)
        _check_that_the_form_is_ours(request, session)
        if path not in FOR_ANYBODY and (person is None or not person.may_act):
            raise Forbidden("you may only look: acting needs the role operator")

    def _person(self, request: Request, session: Session) -> Person | None:
        if (header := self._settings.console_proxy_header) is None:
            return session.person
        if (name := self._proxies.named(request, header)) is not None:
            return Person(name, "operator" if name in self._settings.console_operators else "reader")
        # A person whom the proxy no longer names has signed out there. With tokens, the session's person counts too.
        return session.person if self.takes_tokens else None


def _check_that_the_form_is_ours(request: Request, session: Session) -> None:
    # Browsers send this header. Other clients may omit it: a page of another site can't make them send requests.
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise Forbidden("the request comes from another site")
    shown = request.headers.get(CSRF_HEADER, request.state.form.get(CSRF_FIELD, ""))
    if not hmac.compare_digest(shown.encode(), session.csrf.encode()):
        raise Forbidden("the page is too old, or not from this console: load it again")


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode(errors="surrogateescape")).digest()
