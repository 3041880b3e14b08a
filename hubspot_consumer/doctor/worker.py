"""Checks of a worker's /v1/status: unhealthy parts, halts, contacts that wait, the timeline."""

from collections.abc import Mapping
from typing import Any, Final

import httpx

from hubspot_consumer.doctor.environment import Environment
from hubspot_consumer.doctor.examination import Answer, CannotTell, Check, Checks, Look, count, fail, ok, warn

STATUS_WITHIN_S: Final = 4.0
NO_ANSWER: Final = (httpx.HTTPError, httpx.InvalidURL, ValueError, TimeoutError)

ASK_ELSEWHERE: Final = "start one: `python -m hubspot_consumer worker`; if it runs elsewhere, pass --worker-url"
SEE_RUNBOOK: Final = "the runbook's table says what to do"
REMEDIES: Final[Mapping[str, str]] = {
    "paused": "`python -m hubspot_consumer resume` ends the pause",
    "token_refused": "give the workers a new token; they read it again without a restart only from a file",
    "scope_missing": "add the named scope to the private app or Service Key",
    "endpoint_not_found": "check HUBSPOT_API_VERSION and HUBSPOT_API_BASE_URL",
    "payment_required": "check the account's subscription",
    "daily_quota_spent": "wait for the portal's midnight, or find out which other app spends the calls",
    "hubspot_unavailable": "check https://status.hubspot.com; sending resumes by itself",
    "portal_not_provisioned": "run `python -m hubspot_consumer provision --apply`; sending resumes by itself",
    "too_many_dead_letters": "see properties and dead_letters; sending resumes by itself once HubSpot accepts an event",
}


class WorkerChecks:
    """Checks of one worker. They request its status once."""

    def __init__(self, environment: Environment, worker_url: str) -> None:
        self._settings: Final = environment.settings
        self._url: Final = worker_url.rstrip("/") or f"http://127.0.0.1:{self._settings.consumer_port}"
        self._status: Final = Look(self._ask, NO_ANSWER, "the worker does not answer: see worker")

    def checks(self) -> Checks:
        return Checks(
            [
                Check("worker", self.worker),
                Check("sending", self.sending),
                Check("holes", self.holes),
                Check("timeline", self.timeline),
            ]
        )

    async def worker(self) -> Answer:
        """Check whether the worker answers, runs in the mode of these settings, and reports no unhealthy part."""
        try:
            status = await self._status.seen()
        except NO_ANSWER as error:
            return fail(f"no worker answers at {self._url} ({type(error).__name__})", ASK_ELSEWHERE)
        mode = status.get("mode")
        unwell = status.get("unwell") or {}
        # The check `sending` reports a halt.
        if ill := [f"{part}: {why}" for part, why in unwell.items() if part != "hubspot"]:
            return fail(f"{mode} at {self._url}, unwell: {'; '.join(ill)}", SEE_RUNBOOK)
        if mode != self._settings.mode:
            return warn(
                f"it runs in the mode {mode}, but the settings here say {self._settings.mode}",
                "restart it with these settings, or run the doctor with its own",
            )
        return ok(f"{mode} at {self._url}")

    async def sending(self) -> Answer:
        """Check whether deliveries are halted, why, and when the next probe is due."""
        halted = (await self._status.known()).get("halted")
        if not halted:
            return ok("not halted")
        reason = str(halted.get("reason"))
        what = f"halted since {halted.get('since')}: {reason}: {halted.get('detail')}"
        if reason == "paused":
            return warn(what, REMEDIES[reason])
        return fail(f"{what}; next attempt {halted.get('next_probe')}", REMEDIES.get(reason, SEE_RUNBOOK))

    async def holes(self) -> Answer:
        """Check whether contacts wait for an earlier event, or were released without it."""
        contacts = (await self._status.known()).get("contacts") or {}
        waiting, released = contacts.get("waiting_for_earlier_event", 0), contacts.get("holes_released", 0)
        what = f"{count(waiting, 'contact')} waiting for an earlier event, {released:,} continued without it"
        if released:
            return warn(
                what,
                "`lane.hole_released` in the worker's log names contacts and sequences: find out what lost them",
            )
        return ok(what)

    async def timeline(self) -> Answer:
        """Check whether the worker writes the timeline entries that the settings require."""
        status = await self._status.known()
        takes, wanted = str(status.get("timeline")), self._settings.hubspot_timeline
        if status.get("mode") != "live":
            raise CannotTell("the worker is not live, so it writes no timeline entries")
        if wanted == takes or (wanted == "auto" and takes == "custom_events"):
            return ok(takes)
        return warn(
            f"HUBSPOT_TIMELINE is {wanted}, but the worker uses {takes}",
            "see event_definitions and scopes; then restart the worker, which checks them when it starts",
        )

    async def _ask(self) -> Mapping[str, Any]:
        async with httpx.AsyncClient(timeout=STATUS_WITHIN_S) as http:
            status = (await http.get(f"{self._url}/v1/status")).raise_for_status().json()
        if not isinstance(status, dict):
            raise TypeError("no status")
        return status
