"""Questions about upserts by HUBSPOT_ID_PROPERTY: a contact that lacks the property, and one that does not exist."""

from typing import Final

from hubspot_consumer.hubspot.outcomes import Delivered, Rejected
from hubspot_consumer.probe.answers import outcome_of
from hubspot_consumer.probe.contacts import NO_CONTACT
from hubspot_consumer.probe.question import Found, Question, as_expected, differs, not_told
from hubspot_consumer.probe.subject import KEYED, MAIN, Subject, whole


async def _of_known_email(subject: Subject) -> Found:
    if subject.not_by_property is not None:
        return not_told(subject.not_by_property)
    if MAIN not in subject.ids:
        return not_told(NO_CONTACT)
    one = whole("probe-by-property", MAIN)
    match outcome_of(await subject.upsert_by_property(one), one):
        case Delivered(contact_id=contact_id) if contact_id == subject.ids[MAIN]:
            return as_expected("the contact with the email is written")
        case Delivered():
            return differs("accepted: another contact is written than the one with the email")
        case Rejected(detail=detail, conflict=conflict):
            return as_expected(detail) if conflict else differs(f"refused, but not so: {detail}")
        case other:
            return not_told(other)


async def _of_new_contact(subject: Subject) -> Found:
    if subject.not_by_property is not None:
        return not_told(subject.not_by_property)
    one = whole("probe-keyed", KEYED)
    match outcome_of(await subject.upsert_by_property(one), one):
        case Delivered():
            return await _found_by_property(subject)
        case Rejected(detail=detail):
            return differs(f"refused: {detail}")
        case other:
            return not_told(other)


async def _found_by_property(subject: Subject) -> Found:
    found = await subject.read_by_property([KEYED])
    if not isinstance(found, dict):
        return not_told(found)
    if (contact := found.get(KEYED)) is None:
        return differs(f"the contact is created, and not found by {subject.id_property}")
    if KEYED not in contact.emails:
        return differs(f"the contact has its {subject.id_property}, and not its email")
    return as_expected("the contact has both")


QUESTIONS: Final = (
    Question(
        "id_property_conflict",
        "an upsert by HUBSPOT_ID_PROPERTY whose email another contact has is refused as a conflict, or writes that one",
        "upsert a test contact that lacks the property by it",
        "contacts that lack the property are made twice, or their events become dead letters: do not go live with "
        "that setting",
        _of_known_email,
        "HUBSPOT_ID_PROPERTY",
    ),
    Question(
        "id_property_set",
        "a contact that an upsert by HUBSPOT_ID_PROPERTY creates has the property, and its email",
        "upsert a test contact that does not exist by the property, and read it by that",
        "a new contact without the property takes four calls with its second event, and nothing is lost; without an "
        "email, or if it is refused, do not go live with that setting",
        _of_new_contact,
        "HUBSPOT_ID_PROPERTY",
    ),
)
