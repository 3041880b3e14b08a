"""Checks of HubSpot: the token, its portal and scopes, the schema, the daily quota.

They make seven calls, half a second apart, and an eighth for archived properties if a property is missing. A worker
that runs at the same time sees these calls in the headers of its own answers, and leaves them room.
"""

from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, timedelta, tzinfo
from functools import partial
from typing import Final

from hubspot_consumer.doctor.bill import contact_limit, marketing
from hubspot_consumer.doctor.environment import Environment
from hubspot_consumer.doctor.examination import (
    Answer,
    CannotTell,
    Check,
    Checks,
    Look,
    fail,
    hours_and_minutes,
    ok,
    warn,
)
from hubspot_consumer.hubspot.account import CONTACT_SCOPES, EVENT_SCOPES, SCHEMA_SCOPES, PortalDetails, Usage
from hubspot_consumer.hubspot.client import HubSpotClient
from hubspot_consumer.hubspot.connection import http_client
from hubspot_consumer.hubspot.daily_quota import RESERVE, DailyQuota, midnight, quota_counts
from hubspot_consumer.hubspot.outcomes import Halt, Refusal, Rejected, RetryLater, is_forbidden
from hubspot_consumer.hubspot.paths import SUPPORTED_UNTIL
from hubspot_consumer.hubspot.rate_limiter import QuotaSlot, RateLimiter
from hubspot_consumer.provisioning.differences import Differences
from hubspot_consumer.provisioning.provision import Provision, ProvisionRefused
from runtime.clock import Clock

# A worker that uses the whole quota leaves room for one or two calls, and makes room for others within one answer.
SPACING_S: Final = 0.5
# This is more than the doctor makes, so neither the window's nor the day's quota delays its calls.
MANY_CALLS: Final = 1_000_000
# A worker halts when only its reserve is left. Below this share a person still has time to react.
NEARLY_SPENT: Final = 0.1

# A day ends sooner. A later time in HubSpot's answer is wrong, or has no equivalent in the portal's time zone.
LONGEST_DAY: Final = timedelta(days=2)
A_QUARTER: Final = timedelta(days=91)
MOST_NAMED: Final = 5
CUSTOM_EVENTS: Final = ("auto", "custom_events")

LOOK_AT_HUBSPOT: Final = "check https://status.hubspot.com and HUBSPOT_API_BASE_URL"
AGAIN: Final = "run the doctor again in ten seconds"
PROVISION: Final = (
    "run `python -m hubspot_consumer provision`: it names everything that is missing, and creates it with --apply"
)
SPENDS: Final = "find out which other app spends the account's calls, or wait for the end of the day"
NO_ANSWER: Final = "HubSpot does not answer: see token"
ADD_SCOPES: Final = "add the scopes to the private app or Service Key"


class FewCalls(RateLimiter):
    """Spaces a few calls, and leaves no room for others: a worker with a backlog may use the whole quota for hours."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(MANY_CALLS, 1, DailyQuota(MANY_CALLS, clock), clock)
        self.seen: dict[str, int] = {}

    async def slot(self) -> QuotaSlot:
        """Return when a call may be made. Slots are at least SPACING_S apart."""
        slot = await super().slot()
        self.pause(SPACING_S)
        return slot

    def observe(self, headers: Mapping[str, str]) -> None:
        """Store the numbers in the headers about the quotas."""
        self.seen |= quota_counts(headers)


class PortalChecks:
    """Checks of HubSpot. They make no call if *offline*, or without a token."""

    def __init__(self, environment: Environment, clock: Clock, *, offline: bool) -> None:
        self._settings: Final = environment.settings
        self._clock: Final = clock
        self._offline: Final = offline
        settings = self._settings
        self._rate_limiter: Final = FewCalls(clock)
        self._http: Final = http_client(settings.hubspot_api_base_url, lambda: settings.hubspot_private_app_token)
        self._client: Final = HubSpotClient(
            self._http,
            self._rate_limiter,
            settings.hubspot_api_version,
            settings.hubspot_portal_id or 0,
            id_property=settings.hubspot_id_property,
        )
        self._provision: Final = Provision(self._client)
        self._details: Final = Look(self._ask_portal, (TimeoutError,), NO_ANSWER)
        self._properties: Final = Look(self._provision.properties)
        self._events: Final = Look(self._provision.events)

    def checks(self) -> Checks:
        return Checks(
            [
                Check("token", self.token),
                Check("portal", self.portal),
                Check("scopes", self.scopes),
                Check("properties", self.properties),
                Check("event_definitions", self.event_definitions),
                Check("daily_quota", self.daily_quota),
                Check("contact_limit", partial(self._answered, contact_limit)),
                Check("marketing", partial(self._answered, marketing)),
                Check("api_version", self.api_version),
            ],
            self._http.aclose,
        )

    async def token(self) -> Answer:
        """Check whether HubSpot answers, and accepts the token."""
        try:
            details = await self._details.seen()
        except TimeoutError:
            return fail("HubSpot does not answer in time", LOOK_AT_HUBSPOT)
        match details:
            case PortalDetails():
                return ok(f"accepted by {self._settings.hubspot_api_base_url}")
            case RetryLater(detail=detail, outage=outage):
                return fail(detail, LOOK_AT_HUBSPOT) if outage else warn(detail, AGAIN)
            case Halt(reason="endpoint_not_found", detail=detail):
                return fail(detail, "set HUBSPOT_API_BASE_URL to HubSpot's own address, https://api.hubapi.com")
            case Halt(reason="token_refused", detail=detail):
                return fail(detail, "put a valid token into HUBSPOT_PRIVATE_APP_TOKEN, and restart the workers")
            case Halt(detail=detail) | Rejected(detail=detail):
                return warn(
                    f"not refused, but HubSpot does not say which portal it belongs to: {detail}",
                    "see the other findings",
                )

    async def portal(self) -> Answer:
        """Check whether the token belongs to HUBSPOT_PORTAL_ID."""
        details = await self._answering()
        actual = details.portal_id if isinstance(details, PortalDetails) else None
        expected = self._settings.hubspot_portal_id
        if actual is None:
            raise CannotTell("HubSpot does not say which portal the token belongs to")
        if expected is None:
            return warn(
                f"HUBSPOT_PORTAL_ID is not set; the token belongs to portal {actual}", f"set HUBSPOT_PORTAL_ID={actual}"
            )
        if actual != expected:
            return fail(
                f"HUBSPOT_PORTAL_ID is {expected}, and the token belongs to portal {actual}",
                f"set HUBSPOT_PORTAL_ID={actual}, or use a token of portal {expected}",
            )
        return ok(f"{actual}, to which the token belongs")

    async def scopes(self) -> Answer:
        """Check whether the token has the consumer's scopes. If HubSpot does not list them, check whether it refused
        calls.
        """
        await self._answering()
        scopes = await self._client.scopes()
        if not isinstance(scopes, frozenset):
            return await self._scopes_by_refusals(scopes)
        events = EVENT_SCOPES if self._settings.hubspot_timeline in CUSTOM_EVENTS else ()
        missing = [scope for scope in (*CONTACT_SCOPES, *events, *SCHEMA_SCOPES) if scope not in scopes]
        what = f"missing: {', '.join(missing)}"
        if not missing:
            return ok("the token has every scope that is needed")
        if any(scope in CONTACT_SCOPES for scope in missing):
            return fail(what, ADD_SCOPES)
        if any(scope in EVENT_SCOPES for scope in missing):
            return warn(f"{what}: the timeline gets notes or nothing", ADD_SCOPES)
        return warn(f"{what}: `provision` needs them, a worker does not", ADD_SCOPES)

    async def properties(self) -> Answer:
        """Check whether the portal has our properties, with our types."""
        await self._answering()
        try:
            found = await self._properties.seen()
        except ProvisionRefused as error:
            return _refused(error)
        return _schema(found, "all are there, with the types that we write")

    async def event_definitions(self) -> Answer:
        """Check whether the portal accepts custom events, and has our event definitions."""
        timeline = self._settings.hubspot_timeline
        if timeline not in CUSTOM_EVENTS:
            raise CannotTell(f"HUBSPOT_TIMELINE is {timeline}")
        await self._answering()
        try:
            found = await self._events.seen()
        except ProvisionRefused as error:
            if not is_forbidden(error.refusal):
                return _refused(error)
            what = f"the portal's tier or the token's scopes allow no custom events ({error})"
            if timeline == "custom_events":
                return fail(what, "add the scopes, or set HUBSPOT_TIMELINE=auto")
            return warn(f"{what}: the timeline gets notes or nothing", "add the scopes, or set HUBSPOT_TIMELINE=off")
        return _schema(found, "all are there, with their properties")

    async def daily_quota(self) -> Answer:
        """Report how many of the day's calls are left, and when the day ends."""
        details = await self._answering(or_spent=True)
        zone = details.zone if isinstance(details, PortalDetails) else None
        if isinstance(details, Halt) and details.reason == "daily_quota_spent":
            return fail(details.detail, SPENDS)
        usage = await self._client.usage()
        if not isinstance(usage, Usage):
            usage = self._usage_by_headers(usage)
        left = max(0, usage.limit - usage.used)
        what = f"{left:,} of {usage.limit:,} calls left; the day ends {self._end_of_day(usage, zone)}{self._burst()}"
        if left <= usage.limit * RESERVE:
            return fail(f"{what}; workers send nothing until then", SPENDS)
        return (
            warn(f"{what}; workers spread the rest over the day", SPENDS)
            if left <= usage.limit * NEARLY_SPENT
            else ok(what)
        )

    async def api_version(self) -> Answer:
        """Report until when HubSpot supports the version of its API in use."""
        version = self._settings.hubspot_api_version
        until = SUPPORTED_UNTIL[version]
        what = f"HubSpot supports {version} until {until:%B %Y}"
        if self._clock.now().date() < until - A_QUARTER:
            return ok(what)
        newest = max(SUPPORTED_UNTIL, key=lambda one: SUPPORTED_UNTIL[one])
        return warn(
            what,
            "deploy a version of the consumer that knows a newer one"
            if version == newest
            else f"set HUBSPOT_API_VERSION={newest}",
        )

    async def _answered(self, check: Callable[[HubSpotClient], Awaitable[Answer]]) -> Answer:
        await self._answering()
        return await check(self._client)

    async def _ask_portal(self) -> PortalDetails | Refusal:
        if self._offline:
            raise CannotTell("--offline: HubSpot is not called")
        if self._settings.hubspot_private_app_token is None:
            dry = "" if self._settings.hubspot_send_live else ", and a dry run does not need it"
            raise CannotTell(f"HUBSPOT_PRIVATE_APP_TOKEN is not set{dry}")
        return await self._client.portal()

    async def _answering(self, *, or_spent: bool = False) -> PortalDetails | Refusal:
        details = await self._details.known()
        match details:
            case RetryLater():
                raise CannotTell(NO_ANSWER)
            case Halt(reason="token_refused"):
                raise CannotTell("HubSpot refuses the token: see token")
            case Halt(reason="daily_quota_spent") if not or_spent:
                raise CannotTell("the day's calls are spent: see daily_quota")
        return details

    async def _scopes_by_refusals(self, refusal: Refusal) -> Answer:
        for look in (self._properties, self._events):
            try:
                await look.seen()
            except ProvisionRefused as error:
                if isinstance(error.refusal, Halt) and error.refusal.reason == "scope_missing":
                    return warn(f"HubSpot does not list the scopes, and refuses a call: {error}", ADD_SCOPES)
            except TimeoutError:
                continue
        raise CannotTell(f"HubSpot does not list the scopes, and refused no call of the doctor ({refusal.detail})")

    def _usage_by_headers(self, refusal: Refusal) -> Usage:
        limit, left = (self._rate_limiter.seen.get(name) for name in ("Daily", "Daily-Remaining"))
        if limit is None or left is None:
            raise CannotTell(f"HubSpot does not report the day's calls ({refusal.detail})")
        return Usage(limit, max(0, limit - left), None)

    def _burst(self) -> str:
        most, interval_ms = (self._rate_limiter.seen.get(name) for name in ("Max", "Interval-Milliseconds"))
        if most is None or interval_ms is None:
            return ""
        ours = self._settings.hubspot_rate_limit
        return f"; {most} calls in {interval_ms / 1000:g} s (HUBSPOT_RATE_LIMIT is {ours})"

    def _end_of_day(self, usage: Usage, zone: tzinfo | None) -> str:
        now = self._clock.now()
        ends = usage.resets_at
        if ends is None or abs(ends - now) > LONGEST_DAY:
            ends = midnight(now, zone or UTC)
        where = f" ({zone})" if zone else ""
        return f"at {ends.astimezone(zone or UTC):%H:%M}{where}, in {hours_and_minutes(ends - now)}"


def _schema(found: Differences, well: str) -> Answer:
    faults = [mismatch.what for mismatch in found.mismatches]
    faults += [f"missing: {missing.what}" for missing in found.missing]
    if not faults:
        return ok(well)
    harmless = all(one.optional for one in found.missing) and all(one.harmless for one in found.mismatches)
    more = f"; and {len(faults) - MOST_NAMED} more" if len(faults) > MOST_NAMED else ""
    return Answer("warn" if harmless else "fail", "; ".join(faults[:MOST_NAMED]) + more, PROVISION)


def _refused(error: ProvisionRefused) -> Answer:
    passing = isinstance(error.refusal, RetryLater)
    return warn(str(error), "run the doctor again") if passing else fail(str(error), "see token and scopes")
