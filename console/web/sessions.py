"""Sessions: the signed-in people, in memory. A restart of the console signs everybody out."""

import hmac
import re
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from console.person import Person
from runtime.clock import Clock

LASTS: Final = timedelta(hours=12)
MOST: Final = 1_000
_AN_ID: Final = re.compile(r"[A-Za-z0-9_-]{43}")


@dataclass(frozen=True)
class Session:
    """The session of one browser. *csrf* proves that a form is from a page of this session."""

    id: str
    csrf: str
    # None if nobody has signed in with a token.
    person: Person | None = None


class Sessions:
    """Sessions by the value of their cookie.

    Only those of people who have signed in are kept. Everybody else's are made of the cookie, so that any number of
    strangers takes no memory, and displaces nobody.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._key: Final = secrets.token_bytes(32)
        # The people and the ends of their sessions, by the sessions' ids.
        self._people: dict[str, tuple[Person, datetime]] = {}

    def begin(self, person: Person | None = None) -> Session:
        """Begin a session with a new id: another person may have the id from before a sign-in.

        Above MOST sessions of people, the oldest ends.
        """
        cookie, now = secrets.token_urlsafe(32), self._clock.now()
        if person is not None:
            self._people = {each: kept for each, kept in self._people.items() if kept[1] > now}
            while len(self._people) >= MOST:
                del self._people[next(iter(self._people))]
            self._people[cookie] = person, now + LASTS
        return self._session(cookie, person)

    def of(self, cookie: str | None) -> Session:
        """Return the session of a browser that sends *cookie*; a new one if it is not as ours are."""
        if cookie is None or not _AN_ID.fullmatch(cookie):
            return self.begin()
        person, ends = self._people.get(cookie, (None, self._clock.now()))
        return self._session(cookie, person if ends > self._clock.now() else None)

    def end(self, session: Session) -> None:
        self._people.pop(session.id, None)

    def _session(self, cookie: str, person: Person | None) -> Session:
        return Session(cookie, hmac.digest(self._key, cookie.encode(), "sha256").hex(), person)
