"""Questions about one contact: partial writes, refused values, conflicts, additional emails, deletion."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from hubspot_consumer.hubspot.outcomes import Delivered, Outcome, Rejected
from hubspot_consumer.hubspot.remote_contacts import read_remote_contacts
from hubspot_consumer.hubspot.requests import Upsert
from hubspot_consumer.hubspot.status_codes import succeeded
from hubspot_consumer.probe.answers import no_answer, outcome_of, property_of, results, words
from hubspot_consumer.probe.question import Found, Question, as_expected, differs, not_told
from hubspot_consumer.probe.subject import ADDITIONAL, MAIN, MISTYPED, NAMES, OTHER, UNKNOWN, Subject, whole
from schemas.contacts import ContactKey
from schemas.times import utc_milliseconds

NO_CONTACT: Final = "there is no test contact: see batch_results"
_NO_SUCH_PROPERTY: Final = "nerava_probe_no_such_property"
_NUMBER: Final = "nerava_nova_balance_cents"
_TIME: Final = "nerava_last_nova_earned_at"
_AT: Final = datetime(2026, 1, 2, 3, 4, 5, 678_000, UTC)


async def _partial_upsert_by_email(subject: Subject) -> Found:
    if MAIN not in subject.ids:
        return not_told(NO_CONTACT)
    one = Upsert("probe-partial", MAIN, {"jobtitle": "probe"})
    answer = await subject.upsert(one)
    if not isinstance(written := outcome_of(answer, one), Delivered):
        return differs(f"refused: {written.detail}") if isinstance(written, Rejected) else not_told(written)
    found = read_remote_contacts(await subject.read([MAIN], *NAMES), [MAIN])
    if not isinstance(found, dict):
        return not_told(found)
    if (contact := found.get(MAIN)) is None:
        return not_told("the contact is not found after its upsert")
    cleared = [name for name, value in NAMES.items() if contact.properties.get(name) != value]
    return differs(f"cleared: {', '.join(cleared)}") if cleared else as_expected("they are kept")


async def _unknown_property(subject: Subject) -> Found:
    one = whole("probe-unknown", UNKNOWN, **{_NO_SUCH_PROPERTY: "1"})
    return _judged(
        outcome_of(await subject.upsert(one), one),
        lambda _: differs("the property is ignored, and the contact written without it"),
        lambda refused: _so_refused(refused, good=_NO_SUCH_PROPERTY in refused.unwritable),
    )


async def _wrong_email(subject: Subject) -> Found:
    one = whole("probe-mistyped", MISTYPED)
    return _judged(
        outcome_of(await subject.upsert(one), one),
        lambda _: differs("accepted: it is a contact now"),
        lambda refused: _so_refused(refused, good=not refused.conflict),
    )


async def _conflict(subject: Subject) -> Found:
    return await _moved(subject, MAIN, OTHER)


async def _additional_email(subject: Subject) -> Found:
    if MAIN not in subject.ids:
        return not_told(NO_CONTACT)
    given = await _updated(subject, MAIN, "hs_additional_emails", ADDITIONAL)
    if isinstance(given, Rejected):
        return not_told(f"the API sets no additional email: {given.detail}")
    if not isinstance(given, Delivered):
        return not_told(given)
    found = read_remote_contacts(await subject.read([ADDITIONAL]), [ADDITIONAL])
    if not isinstance(found, dict):
        return not_told(found)
    contact = found.get(ADDITIONAL)
    if contact is None or contact.contact_id != subject.ids[MAIN]:
        return differs("the contact is not found by it")
    subject.ids[ADDITIONAL] = contact.contact_id
    return as_expected("the contact is found by it")


async def _conflict_with_additional_email(subject: Subject) -> Found:
    if ADDITIONAL not in subject.ids:
        return not_told("no test contact has an additional email: see additional_email")
    return await _moved(subject, OTHER, ADDITIONAL)


async def _moved(subject: Subject, key: ContactKey, to: ContactKey) -> Found:
    """Give a contact the email of another one, which has to fail."""
    if key not in subject.ids or to not in subject.ids:
        return not_told(NO_CONTACT)
    return _judged(
        await _updated(subject, key, "email", to),
        lambda _: differs("accepted: the other contact has lost it, or both have it"),
        lambda refused: _so_refused(refused, good=refused.conflict),
    )


async def _white_space(subject: Subject) -> Found:
    return await _taken(subject, _NUMBER, " 12 ")


async def _times(subject: Subject) -> Found:
    return await _taken(subject, _TIME, utc_milliseconds(_AT))


async def _taken(subject: Subject, name: str, value: str) -> Found:
    """Write a value of a property that the portal has if it is provisioned, and compare what the answer says of it."""
    if MAIN not in subject.ids:
        return not_told(NO_CONTACT)
    one = Upsert(f"probe-{name}", MAIN, {name: value}, contact_id=subject.ids[MAIN])
    answer = await subject.update(one)
    stored = next((property_of(result, name) for result in results(answer)), "")
    same = not stored or _comparable(stored) == _comparable(value)
    return _judged(
        outcome_of(answer, one),
        lambda _: as_expected(f"stored as {stored or '?'}") if same else differs(f"stored as {stored}"),
        lambda refused: (
            not_told(f"the portal has no {name} to write: run `provision --apply`")
            if name in refused.unwritable
            else differs(refused.detail)
        ),
    )


def _comparable(value: str) -> object:
    """Return a number or a time in a form in which equal ones are equal."""
    try:
        return float(value)
    except ValueError:
        pass
    try:
        return datetime.fromisoformat(value.strip()).timestamp() * 1000
    except (ValueError, OverflowError, OSError):
        return value


async def _updated(subject: Subject, key: ContactKey, name: str, value: str) -> Outcome:
    one = Upsert(f"probe-{name}", key, {name: value}, contact_id=subject.ids[key])
    return outcome_of(await subject.update(one), one)


async def _deleted_contact(subject: Subject) -> Found:
    if OTHER not in subject.ids:
        return not_told(NO_CONTACT)
    deleted = await subject.archive(subject.paths.contacts, [subject.ids[OTHER]])
    if (why := no_answer(deleted)) is not None or not succeeded(deleted):
        return not_told(why or words(deleted))
    one = whole("probe-deleted", OTHER)
    return _judged(
        outcome_of(await subject.upsert(one), one),
        lambda written: as_expected(
            "the deleted contact is restored"
            if written.contact_id == subject.ids[OTHER]
            else "a new contact is created"
        ),
        lambda refused: differs(refused.detail),
    )


def _judged(outcome: Outcome, written: Callable[[Delivered], Found], refused: Callable[[Rejected], Found]) -> Found:
    """Return what is found if the contact is *written*, or *refused*; nothing is told by any other outcome."""
    match outcome:
        case Delivered():
            return written(outcome)
        case Rejected():
            return refused(outcome)
        case _:
            return not_told(outcome)


def _so_refused(refused: Rejected, *, good: bool) -> Found:
    """Return that a refusal is *good* if the client reads in it what it has to know, and differs otherwise."""
    return as_expected(refused.detail) if good else differs(f"refused, but not so: {refused.detail}")


QUESTIONS: Final = (
    Question(
        "partial_upsert_by_email",
        "an upsert by email keeps the properties that it leaves out",
        "upsert another property of a test contact, and read it",
        "an event would clear what others have written, or could not be written: do not go live with email as the id",
        _partial_upsert_by_email,
        "HUBSPOT_ID_PROPERTY",
    ),
    Question(
        "unknown_property",
        "a property that the portal lacks is refused, and named",
        "upsert a test contact with a property that does not exist",
        "values of a property that the portal lacks are lost in silence, or their events become dead letters: run "
        "`provision` before each release",
        _unknown_property,
    ),
    Question(
        "wrong_email",
        "an address without a valid domain is refused, for its contact alone",
        "upsert a contact at example.con",
        "mistyped addresses become contacts; nothing is lost",
        _wrong_email,
    ),
    Question(
        "conflict",
        "an email that another contact has is refused as a conflict",
        "give a test contact the email of the other",
        "an email change becomes a dead letter where it should be tried again: `redrive` lets it take effect later",
        _conflict,
    ),
    Question(
        "additional_email",
        "a contact is found by its additional emails",
        "give a test contact an additional email, and read it by that",
        "events of a contact's additional email count as those of a new contact",
        _additional_email,
    ),
    Question(
        "conflict_with_additional_email",
        "an email that another contact has as an additional one is refused as a conflict",
        "give a test contact the additional email of the other",
        "an email change becomes a dead letter where it should be tried again: `redrive` lets it take effect later",
        _conflict_with_additional_email,
    ),
    Question(
        "white_space",
        "white space around a number is accepted",
        f"write {_NUMBER} with spaces around it",
        "an event with such a value becomes a dead letter",
        _white_space,
    ),
    Question(
        "times",
        "a time in UTC with milliseconds is accepted, and kept",
        f"write {_TIME}",
        "events with a time become dead letters, or lose a part of it: do not go live, and report it",
        _times,
    ),
    Question(
        "deleted_contact",
        "an upsert of a contact that was deleted in HubSpot creates it again, or restores it",
        "delete a test contact, and upsert it",
        "events of deleted contacts become dead letters: `suppress` those contacts",
        _deleted_contact,
    ),
)
