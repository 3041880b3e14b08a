"""Sessions: the signed-in people, in memory. A restart of the console signs everybody out."""

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from console.person import Person
from runtime.clock import Clock

LASTS: Final = timedelta(hours=12)
# The number is limited, since the sign-in page begins a session for anyone.
MOST: Final = 1_000


@dataclass(frozen=True)
class Session:
    """The session of one browser. *csrf* proves that a form is from a page of this session."""

    id: str
    csrf: str
    ends: datetime
    person: Person | None = None
    # Whether a proxy names the person with each request: `person` is then None.
    known: bool = False


class Sessions:
    """Sessions by the value of their cookie."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._sessions: dict[str, Session] = {}

    def begin(self, person: Person | None = None, *, known: bool = False) -> Session:
        """Begin a session with a new id: another person may have the id from before a sign-in.

        *known*: a proxy names the person. Above MOST sessions, those without a person end first, oldest first.
        """
        now = self._clock.now()
        self._sessions = {key: session for key, session in self._sessions.items() if session.ends > now}
        while len(self._sessions) >= MOST:
            strangers = (key for key, each in self._sessions.items() if each.person is None and not each.known)
            self._sessions.pop(next(strangers, next(iter(self._sessions))))
        session = Session(secrets.token_urlsafe(32), secrets.token_urlsafe(32), now + LASTS, person, known)
        self._sessions[session.id] = session
        return session

    def of(self, cookie: str | None) -> Session | None:
        session = self._sessions.get(cookie or "")
        return session if session is not None and session.ends > self._clock.now() else None

    def end(self, session: Session) -> None:
        self._sessions.pop(session.id, None)
