"""Sessions: who is signed in, in memory. A restart of the console signs everybody out."""

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from console.person import Person
from runtime.clock import Clock

LASTS: Final = timedelta(hours=12)
# A stranger gets one as soon as the sign-in page is shown.
MOST: Final = 1_000


@dataclass(frozen=True)
class Session:
    """One browser's. *csrf* proves that a form is of a page that we gave it."""

    id: str
    csrf: str
    ends: datetime
    person: Person | None = None
    # Of whom a proxy names with each request: the session knows them by name only.
    known: bool = False


class Sessions:
    """Sessions by the value of their cookie."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._sessions: dict[str, Session] = {}

    def begin(self, person: Person | None = None, *, known: bool = False) -> Session:
        """Begin one, under a new id: an id from before a sign-in may be known to somebody else.

        *known*: it is somebody's, whom a proxy names. Where there are too many, strangers' end first.
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
