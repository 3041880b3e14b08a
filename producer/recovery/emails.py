"""The true emails of contacts whose key lost the letter v, which PostgreSQL 13 to 16 cut off until migration 0006."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import psycopg

from producer.recovery.contacts import connect
from runtime.endings import CannotGoOn
from schemas.contacts import TRIMMED, ContactKey, contact_key, suppression_of
from schemas.outbox import OWN_SCHEMA, RELAY_LOCK, TABLE_LOCK
from schemas.texts import read_object

# E'\v' was the letter v, and so no tabulator.
CUT_OFF: Final = TRIMMED.replace("\v", "v")

TOLD: Final = """
SELECT aggregateid, payload -> 'payload' ->> 'email', payload -> 'payload' ->> 'user_id' FROM outbox_events
UNION SELECT aggregateid, payload -> 'payload' ->> 'email', payload -> 'payload' ->> 'user_id' FROM outbox_published
UNION SELECT contact_key, payload ->> 'email', external_id FROM outbox_parked JOIN outbox_directory USING (external_id)
"""
# A backend's transaction that has one of the two tables may wait for the other. This gives up before PostgreSQL detects
# the deadlock, for which it might end the backend's.
LOCK: Final = """
SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = '500ms';
LOCK TABLE outbox_contacts, outbox_directory IN ACCESS EXCLUSIVE MODE
"""
NO_RELAY: Final = f"""
SELECT CASE WHEN {OWN_SCHEMA} THEN pg_try_advisory_xact_lock({TABLE_LOCK}) ELSE pg_try_advisory_xact_lock(%s) END
"""
CONTACTS: Final = "SELECT contact_key FROM outbox_contacts WHERE contact_key = ANY(%s)"
USERS: Final = (
    "SELECT contact_key, array_agg(external_id) FROM outbox_directory WHERE contact_key = ANY(%s) GROUP BY contact_key"
)
RENAME: Final = (
    "UPDATE outbox_contacts SET contact_key = %(true)s WHERE contact_key = %(key)s",
    "UPDATE outbox_directory SET contact_key = %(true)s WHERE contact_key = %(key)s",
    """
UPDATE outbox_events
SET aggregateid = %(true)s, payload = jsonb_set(payload, '{contact,email}', to_jsonb(%(true)s::text))
WHERE aggregateid = %(key)s
""",
)


@dataclass(frozen=True)
class Damaged:
    """A contact whose key lost a v, and its true key. `why` says what a person has to decide; it is empty otherwise."""

    key: ContactKey
    true: ContactKey
    why: str = ""


@dataclass
class Evidence:
    """What events say of contacts: by contact key the true keys of their emails, and by these the users.

    `suppressions` are the record keys of the suppressed contacts; None where they were not read.
    """

    found: dict[str, dict[ContactKey, set[str]]] = field(default_factory=dict)
    suppressions: set[str] | None = None

    def add(self, key: object, email: object, user: object) -> None:
        """Add an event of the contact *key* that names *email*. Nothing that it may hold raises an error."""
        if not isinstance(key, str) or not isinstance(email, str):
            return
        try:
            true, cut = contact_key(email), contact_key(email.strip(CUT_OFF))
        except ValueError:
            return
        if key in (true, cut):
            self.found.setdefault(key, {}).setdefault(true, set()).add(user if isinstance(user, str) else "")

    def add_record(self, record: Any) -> None:
        """Add one of aiokafka's records."""
        payload = read_object(record.value).get("payload")
        if isinstance(payload, dict):
            self.add((record.key or b"").decode(errors="replace"), payload.get("email"), payload.get("user_id"))

    async def add_outbox(self, database_url: str) -> None:
        """Add the outbox's rows, also the published ones that it keeps. Raises psycopg.Error."""
        async with await connect(database_url) as connection:
            for row in await (await connection.execute(TOLD)).fetchall():
                self.add(*row)

    def suppresses(self, key: ContactKey) -> bool:
        return self.suppressions is not None and suppression_of(key) in self.suppressions

    @property
    def damaged(self) -> Mapping[str, Mapping[ContactKey, set[str]]]:
        """What was found of keys that lost a v, as far as the events say."""
        return {key: emails for key, emails in self.found.items() if emails.keys() != {key}}


async def mend(database_url: str, evidence: Evidence, *, apply: bool) -> Sequence[Damaged]:
    """Return the contacts whose key lost a v. With *apply*, rename those that no person has to decide on.

    Raises psycopg.Error, and CannotGoOn while a relay publishes; then nothing was written.
    """
    async with await connect(database_url) as connection:
        if apply:
            [[alone]] = await _rows(connection, NO_RELAY, RELAY_LOCK)
            if not alone:
                raise CannotGoOn("a relay is active, and publishes rows that would be renamed: stop it first")
            await connection.execute(LOCK)
        found = await _judged(connection, evidence)
        for one in found if apply else ():
            for statement in () if one.why else RENAME:
                await connection.execute(statement, {"key": one.key, "true": one.true})
    return found


async def _judged(connection: psycopg.AsyncConnection, evidence: Evidence) -> list[Damaged]:
    damaged = evidence.damaged
    claims = [true for key, emails in damaged.items() for true in emails if true != key]
    contacts = {key for (key,) in await _rows(connection, CONTACTS, [*damaged, *claims])}
    users = {key: set(of_it) for key, of_it in await _rows(connection, USERS, list(damaged))}
    judged = []
    for key in map(ContactKey, sorted(contacts.intersection(damaged))):
        emails = damaged[key]
        for true in sorted(emails.keys() - {key}):
            why = ""
            if len(emails) > 1:
                why = "it has the events of several emails"
            elif true in contacts:
                why = "the true email is a contact too"
            elif claims.count(true) > 1:
                why = "another contact lost a v of the same email"
            elif unknown := len(users.get(key, set()) - emails[true]):
                why = f"{unknown} more of its users may have another email"
            elif evidence.suppresses(key) and not evidence.suppresses(true):
                why = "first `suppress` the true email"
            judged.append(Damaged(key, true, why))
    return judged


async def _rows(connection: psycopg.AsyncConnection, query: str, value: object) -> list[Any]:
    return await (await connection.execute(query.encode(), [value])).fetchall()
