"""The run of a probe: it checks the portal, asks each question in turn, and deletes what it made, however it ends."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from hubspot_consumer.hubspot.account import read_portal
from hubspot_consumer.hubspot.outcomes import Halt, Refusal, is_forbidden
from hubspot_consumer.hubspot.remote_contacts import read_remote_contacts
from hubspot_consumer.hubspot.requests import RemoteContact
from hubspot_consumer.probe import account, batches, contacts, id_property, timeline
from hubspot_consumer.probe.answers import words
from hubspot_consumer.probe.clean_up import clean_up, delete, ids_of_test_contacts
from hubspot_consumer.probe.question import Found, Question, failed
from hubspot_consumer.probe.subject import Subject, whole
from runtime.endings import CannotGoOn, Misconfigured

# The deletion of a contact comes last.
QUESTIONS: Final[Sequence[Question]] = (
    *account.QUESTIONS,
    *batches.QUESTIONS,
    *contacts.QUESTIONS[:-1],
    *id_property.QUESTIONS,
    *timeline.QUESTIONS,
    contacts.QUESTIONS[-1],
)
MOST_CALLS: Final = 59
"""No probe makes more calls. A test holds it to this."""

Progress = Callable[[int, int], object]
"""A callback with the number of questions that were asked, and their total number."""


@dataclass(frozen=True)
class Report:
    """What a probe found: for each question its answer, in order.

    `leftovers` is the number of test contacts that an earlier probe had left, which this one has deleted. `left` is why
    HubSpot may still have test contacts; None if they are gone.
    """

    at: datetime
    found: Sequence[tuple[Question, Found]]
    leftovers: int
    left: Refusal | None


async def run(subject: Subject, spent: Callable[[], Halt | None], progress: Progress) -> Report:
    """Ask all questions. Raises Misconfigured for a wrong portal, CannotGoOn if HubSpot answers no call.

    *spent* returns a halt if only the reserve of the day's quota is left.
    """
    at = subject.clock.now()
    await _check_portal(subject)
    held = await subject.look()
    if (halt := spent()) is not None:
        raise CannotGoOn(f"not probed: {halt.detail}")
    if not isinstance(held, list):
        raise CannotGoOn(f"not probed: contacts can't be read: {held.detail}")
    try:
        leftovers = await _begun(subject, held)
        found = []
        for question in QUESTIONS:
            found.append((question, await _asked(question, subject)))
            progress(len(found), len(QUESTIONS))
    finally:
        left = await clean_up(subject)
    return Report(at, found, leftovers, left)


async def _check_portal(subject: Subject) -> None:
    subject.account = await subject.ask(subject.paths.account)
    details = read_portal(subject.account)
    if isinstance(details, Refusal):
        if not is_forbidden(details):
            raise CannotGoOn(f"not probed: {details.detail}")
    elif details.portal_id not in (None, subject.portal_id):
        raise Misconfigured(
            f"HUBSPOT_PORTAL_ID is {subject.portal_id}, but the token belongs to portal {details.portal_id}: set "
            f"HUBSPOT_PORTAL_ID={details.portal_id}, or use a token of portal {subject.portal_id}"
        )


async def _begun(subject: Subject, held: Sequence[RemoteContact]) -> int:
    """Delete what an earlier probe left, create the first test contacts, and return the number of deleted ones."""
    if (refusal := await delete(subject, held)) is not None:
        raise CannotGoOn(f"not probed: what an earlier probe left can't be deleted: {refusal.detail}")
    subject.written = await subject.upsert(*(whole(trace, key) for trace, key in batches.FIRST.items()))
    # The answer's own ids are what some questions are about.
    created = read_remote_contacts(await subject.read(list(batches.FIRST.values())), list(batches.FIRST.values()))
    if isinstance(created, dict):
        subject.ids = {key: one.contact_id for key in batches.FIRST.values() if (one := created.get(key)) is not None}
    if not subject.ids:
        raise CannotGoOn(f"not probed: test contacts can't be created or read: {words(subject.written)}")
    return len(ids_of_test_contacts(held))


async def _asked(question: Question, subject: Subject) -> Found:
    try:
        return await question.ask(subject)
    except Exception as error:  # noqa: BLE001 - the other questions are asked, and what was made is deleted
        return failed(error)
