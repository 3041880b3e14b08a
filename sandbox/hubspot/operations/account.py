"""Calls about the account: its details, the scopes of a token, and the usage of the daily quota."""

from datetime import timedelta
from zoneinfo import ZoneInfo

from sandbox.hubspot.clock import iso
from sandbox.hubspot.http.answers import Answer, not_found
from sandbox.hubspot.http.calls import Call, as_text
from sandbox.hubspot.records.contacts import APP_ID
from sandbox.hubspot.records.portal import Portal


def details(portal: Portal, _: Call) -> Answer:
    settings = portal.settings
    offset = portal.clock.now().astimezone(ZoneInfo(settings.time_zone)).utcoffset() or timedelta()
    seconds = int(offset.total_seconds())
    hours, minutes = divmod(abs(seconds) // 60, 60)
    return Answer(
        200,
        {
            "portalId": portal.portal_id,
            "accountType": "STANDARD",
            "timeZone": settings.time_zone,
            "companyCurrency": "USD",
            "additionalCurrencies": [],
            "utcOffset": f"{'-' if seconds < 0 else '+'}{hours:02}:{minutes:02}",
            "utcOffsetMilliseconds": seconds * 1000,
            "uiDomain": "app.hubspot.com",
            "dataHostingLocation": "na1",
        },
    )


def token_info(portal: Portal, call: Call) -> Answer:
    grant = portal.tokens.grant(as_text(call.object().get("tokenKey")))
    if grant is None:
        raise not_found()
    return Answer(
        200,
        {"userId": 1, "hubId": portal.portal_id, "appId": APP_ID, "scopes": sorted(grant.scopes)},
    )


def daily_usage(portal: Portal, _: Call) -> Answer:
    usage = {
        "name": "private-apps-api-calls-daily",
        "usageLimit": portal.settings.daily_limit,
        "currentUsage": portal.quota.used_today(portal.settings),
        "collectedAt": portal.clock.timestamp(),
        "fetchStatus": "SUCCESS",
        "resetsAt": iso(portal.quota.resets_at(portal.settings)),
    }
    return Answer(200, {"results": [usage]})
