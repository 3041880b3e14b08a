"""Questions about the portal as a whole: its API's version, its quota, and how it reads contacts."""

from typing import Final

from hubspot_consumer.hubspot.daily_quota import quota_counts
from hubspot_consumer.hubspot.outcomes import Rejected, RetryLater
from hubspot_consumer.hubspot.remote_contacts import read_remote_contacts
from hubspot_consumer.probe.answers import found_at, words
from hubspot_consumer.probe.question import Found, Question, as_expected, differs, not_told
from hubspot_consumer.probe.subject import EMAILS, Subject

_NEEDED: Final = ("Max", "Interval-Milliseconds", "Remaining", "Daily", "Daily-Remaining")


async def _api_version(subject: Subject) -> Found:
    return found_at(subject.paths.account, subject.account)


async def _quota_headers(subject: Subject) -> Found:
    answer = subject.looked
    if isinstance(answer, RetryLater):
        return not_told(answer)
    counts = quota_counts(answer.headers)
    if missing := [name for name in _NEEDED if name not in counts]:
        return differs(f"not in the answer to a read: {', '.join(f'X-HubSpot-RateLimit-{name}' for name in missing)}")
    most, interval_ms, _, limit, left = (counts[name] for name in _NEEDED)
    return as_expected(f"{most} calls in {interval_ms / 1000:g} s; {left:,} of {limit:,} left today")


async def _unknown_contacts(subject: Subject) -> Found:
    found = read_remote_contacts(subject.looked, EMAILS)
    if isinstance(found, Rejected):
        return differs(f"the read is refused: {found.detail}")
    if not isinstance(found, dict):
        return not_told(found)
    left_out = [key for key in EMAILS if key not in found]
    if left_out:
        return differs(f"{len(left_out)} of {len(EMAILS)} emails are in no result and no error")
    return as_expected(words(subject.looked))


QUESTIONS: Final = (
    Question(
        "api_version",
        "the paths of HUBSPOT_API_VERSION answer",
        "read the account's details",
        "HubSpot does not have this version, or not for this account: other calls may find no path",
        _api_version,
        "HUBSPOT_API_VERSION",
    ),
    Question(
        "quota_headers",
        "each answer tells the quota, and how much of it all apps together have left",
        "look at the headers of an answer",
        "workers do not see what other apps use: set the limits to what is left for the workers",
        _quota_headers,
        "HUBSPOT_RATE_LIMIT, HUBSPOT_DAILY_LIMIT",
    ),
    Question(
        "unknown_contacts",
        "a read names each contact that it does not find",
        "read contacts that do not exist, by email",
        "a contact that HubSpot lacks is read again and again, and its events wait",
        _unknown_contacts,
    ),
)
