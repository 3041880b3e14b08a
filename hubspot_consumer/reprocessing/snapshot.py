"""The snapshot: what HubSpot held of all contacts at one moment, from one export instead of a read for each hundred.

It only shows which contacts need no read. A contact that it lacks, or shows otherwise than the events do, is read: the
contact may have changed since, and HubSpot does not document how a file has every value.
"""

import asyncio
import json
import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, tzinfo
from functools import partial
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Final, TypeVar

from hubspot_consumer.history.projection import Projection
from hubspot_consumer.hubspot.account import PortalDetails
from hubspot_consumer.hubspot.client import HubSpotClient
from hubspot_consumer.hubspot.exports.rows import ExportUnreadable, exported_contacts
from hubspot_consumer.hubspot.outcomes import Halt, Refusal, Rejected, RetryLater
from hubspot_consumer.hubspot.requests import RemoteContact
from hubspot_consumer.hubspot.schema import LAST_EVENT_ID, OF_HUBSPOT, PROPERTIES
from hubspot_consumer.kafka.records import Offsets
from hubspot_consumer.reprocessing.comparison import ComparedProperty, compared
from hubspot_consumer.reprocessing.hubspot_reader import HubSpotReader
from runtime.clock import Clock
from schemas.contacts import ContactKey
from schemas.times import read_time

# Contacts. For fewer, reads take less time, and hardly more calls.
WORTH_AN_EXPORT: Final = 2_000
# HubSpot makes one export after the other, and a person may have to approve it.
MADE_WITHIN_S: Final = 1800.0
FIRST_POLL_S: Final = 1.0
LONGEST_POLL_S: Final = 60.0
MOST_TRIES: Final = 3
PROGRESS_EVERY: Final = 1_000
_OURS: Final = tuple(known.name for known in PROPERTIES if known.name != LAST_EVENT_ID)
_EXPORTED: Final = ("email", "hs_additional_emails", *_OURS, *OF_HUBSPOT)
_SCHEMA: Final = "CREATE TABLE contacts (email TEXT PRIMARY KEY, properties TEXT NOT NULL) WITHOUT ROWID"

Answer = TypeVar("Answer")


class NoSnapshot(Exception):
    """HubSpot gives no export, or none that can be read. The message says why."""


class Snapshot:
    """The contacts of an export, by each of their emails, in a file, so that memory is bounded.

    *unfinished* are the offsets that the workers' group had reached before the export began. *zone* is the portal's.
    """

    def __init__(self, file: Path, unfinished: Offsets, zone: tzinfo) -> None:
        self.unfinished: Final = unfinished
        self._zone: Final = zone
        self._connection = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
        # The file is deleted after the run, whatever becomes of it.
        for setting in ("journal_mode = OFF", "synchronous = OFF"):
            self._connection.execute(f"PRAGMA {setting}")
        self._connection.execute(_SCHEMA)

    def close(self) -> None:
        self._connection.close()

    def take_in(self, file: IO[bytes], progress: Callable[[int], object]) -> None:
        """Store the contacts of an exported file that a worker has written. Raises ExportUnreadable."""
        with self._connection as connection:
            connection.execute("BEGIN")
            connection.executemany("INSERT OR REPLACE INTO contacts VALUES (?, ?)", _rows(file, progress))

    def contact(self, key: ContactKey) -> RemoteContact | None:
        """Return a contact as it was; None if HubSpot had none with that email that a worker has written."""
        row = self._connection.execute("SELECT properties FROM contacts WHERE email = ?", (key,)).fetchone()
        return None if row is None else RemoteContact("", json.loads(row[0]))

    def shows(self, projection: Projection, contact: RemoteContact) -> bool:
        """Return whether a contact of the snapshot has the values of its projection."""
        return all(each.verdict == "same" or _same_locally(each, self._zone) for each in compared(projection, contact))


async def take_snapshot(  # noqa: PLR0913 - where from, where to, and since when
    client: HubSpotClient,
    reader: HubSpotReader,
    file: Path,
    *,
    unfinished: Offsets,
    clock: Clock,
    progress: Callable[[int], object],
) -> Snapshot:
    """Return a snapshot in *file*; *progress* is called with the number of its contacts. Waits out temporary failures.

    Raises NoSnapshot.
    """
    details = await client.portal()
    zone = details.zone if isinstance(details, PortalDetails) else None
    export_id = await _answered(reader, partial(client.exports.begin, _EXPORTED))
    snapshot = Snapshot(file, unfinished, zone or UTC)
    try:
        with TemporaryFile(dir=file.parent) as exported:
            await _load(client, reader, export_id, exported, clock)
            exported.seek(0)
            await asyncio.to_thread(snapshot.take_in, exported, progress)
    except (ExportUnreadable, NoSnapshot) as error:
        snapshot.close()
        raise NoSnapshot(str(error)) from None
    return snapshot


async def _load(client: HubSpotClient, reader: HubSpotReader, export_id: str, file: IO[bytes], clock: Clock) -> None:
    """Write the exported file into *file*. A link works for some minutes, so each attempt asks for a new one."""
    tries = 0
    while True:
        tries += 1
        link = await _link(client, reader, export_id, clock)
        try:
            return await client.exports.download(link, file)
        except ExportUnreadable:
            if tries == MOST_TRIES:
                raise
        file.seek(0)
        file.truncate()


async def _link(client: HubSpotClient, reader: HubSpotReader, export_id: str, clock: Clock) -> str:
    until, wait_s = clock.monotonic() + MADE_WITHIN_S, FIRST_POLL_S
    while (link := await _answered(reader, partial(client.exports.link, export_id))) is None:
        if clock.monotonic() >= until:
            raise NoSnapshot(f"HubSpot has not made the export within {MADE_WITHIN_S / 60:g} minutes")
        await clock.sleep(wait_s)
        wait_s = min(2 * wait_s, LONGEST_POLL_S)
    return link


async def _answered(reader: HubSpotReader, ask: Callable[[], Awaitable[Answer | Refusal]]) -> Answer:
    """Return HubSpot's answer about an export; waits out an outage. Raises NoSnapshot for any lasting refusal."""
    refusals = 0

    async def answered() -> Answer | Refusal:
        nonlocal refusals
        answer = await ask()
        if isinstance(answer, RetryLater) and not answer.outage:
            # The limit of exports in a day is told as the limit of calls is.
            refusals += 1
        if isinstance(answer, Halt | Rejected) or (isinstance(answer, RetryLater) and refusals == MOST_TRIES):
            raise NoSnapshot(answer.detail)
        return answer

    return await reader.until_answered(answered)


def _rows(file: IO[bytes], progress: Callable[[int], object]) -> Iterator[tuple[str, str]]:
    for number, contact in enumerate(exported_contacts(file), 1):
        if number % PROGRESS_EVERY == 0:
            progress(number)
        if "nerava_contact_key" in contact.properties:
            properties = json.dumps(contact.properties)
            yield from ((email, properties) for email in contact.emails)


def _same_locally(each: ComparedProperty, zone: tzinfo) -> bool:
    """Return whether a file may have an expected time so: without a time zone, and in whole minutes or seconds."""
    expected = read_time(each.expected)
    if expected is None:
        return False
    try:
        shown = datetime.fromisoformat(each.held)
        local = expected.astimezone(zone).replace(tzinfo=None, microsecond=0)
    except (ValueError, OverflowError):
        return False
    return shown.tzinfo is None and shown in (local, local.replace(second=0))
