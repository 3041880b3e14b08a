"""Checks of what HubSpot bills: the account's contacts, and those of ours that are marketing contacts."""

from typing import Final

from hubspot_consumer.doctor.examination import Answer, CannotTell, fail, ok, warn
from hubspot_consumer.hubspot.account import ContactLimit
from hubspot_consumer.hubspot.client import HubSpotClient
from hubspot_consumer.hubspot.outcomes import is_forbidden

# Below this share of the limit, contacts are left for a person to react.
NEARLY_REACHED: Final = 0.9
FEWER: Final = "delete contacts in HubSpot, or raise the limit of the account"


async def contact_limit(client: HubSpotClient) -> Answer:
    """Check how many more contacts the account may have."""
    found = await client.contact_limit()
    if not isinstance(found, ContactLimit):
        why = "the token has no scope for it" if is_forbidden(found) else "HubSpot does not say it"
        raise CannotTell(f"how many contacts the account may have is not known: {why} ({found.detail})")
    what = f"{found.used:,} of {found.limit:,} contacts that the account may have"
    if found.used >= found.limit:
        return fail(f"{what}; HubSpot may refuse new ones", FEWER)
    return warn(what, FEWER) if found.used >= NEARLY_REACHED * found.limit else ok(what)


async def marketing(client: HubSpotClient) -> Answer:
    """Report how many contacts of ours are marketing contacts. Only HubSpot's own settings decide which are."""
    found = await client.marketing_contacts()
    if not isinstance(found, int):
        raise CannotTell(f"HubSpot does not say which contacts are marketing contacts ({found.detail})")
    where = "the app's switch in HubSpot decides it for new ones (Settings, Integrations, Marketing contacts), no API"
    return ok(f"{found:,} of the contacts that workers wrote are marketing contacts, which HubSpot bills; {where}")
