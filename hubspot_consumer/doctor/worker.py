"""Checks of a worker's /v1/status: unhealthy parts, halts, contacts that wait, the timeline."""

import json
from collections.abc import Mapping
from typing import Any, Final

import httpx
from pydantic import BaseModel, ConfigDict, ValidationError

from hubspot_consumer.doctor.environment import Environment
from hubspot_consumer.doctor.examination import Answer, CannotTell, Check, Checks, Look, count, fail, ok, warn
from schemas.contacts import shortened
from schemas.texts import read_json

STATUS_WITHIN_S: Final = 4.0
# The number of characters that are shown of an answer that is no status.
MOST_SHOWN: Final = 60
ASK_ELSEWHERE: Final = (
    "start one: `python -m hubspot_consumer worker`; if it runs elsewhere, pass --worker-url or set DOCTOR_WORKER_URL"
)
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


class NotAWorker(Exception):
    """Something else answers; the message says what."""


NO_ANSWER: Final = (httpx.HTTPError, httpx.InvalidURL, ValueError, TimeoutError)
NO_STATUS: Final = (*NO_ANSWER, NotAWorker)


class _Contacts(BaseModel):
    waiting_for_earlier_event: int = 0
    holes_released: int = 0


class WorkerStatus(BaseModel):
    """What the checks need of a status; a worker of another version may leave out all but its mode."""

    model_config = ConfigDict(frozen=True)

    mode: str
    unwell: dict[str, Any] | None = None
    halted: dict[str, Any] | None = None
    contacts: _Contacts | None = None
    timeline: str | None = None


class WorkerChecks:
    """Checks of one worker. They request its status once."""

    def __init__(self, environment: Environment, worker_url: str) -> None:
        self._settings: Final = environment.settings
        given = worker_url or self._settings.doctor_worker_url
        self._url: Final = given.rstrip("/") or f"http://127.0.0.1:{self._settings.consumer_port}"
        self._status: Final = Look(self._ask, NO_STATUS, "the worker does not answer: see worker")

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
        except NotAWorker as error:
            return fail(f"{self._url} answers, but is no worker, or one of another version: {error}", ASK_ELSEWHERE)
        mode, unwell = status.mode, status.unwell or {}
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
        halted = (await self._status.known()).halted
        if not halted:
            return ok("not halted")
        reason = str(halted.get("reason"))
        what = f"halted since {halted.get('since')}: {reason}: {halted.get('detail')}"
        if reason == "paused":
            return warn(what, REMEDIES[reason])
        return fail(f"{what}; next attempt {halted.get('next_probe')}", REMEDIES.get(reason, SEE_RUNBOOK))

    async def holes(self) -> Answer:
        """Check whether contacts wait for an earlier event, or were released without it."""
        contacts = (await self._status.known()).contacts or _Contacts()
        waiting, released = contacts.waiting_for_earlier_event, contacts.holes_released
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
        takes, wanted = str(status.timeline), self._settings.hubspot_timeline
        if status.mode != "live":
            raise CannotTell("the worker is not live, so it writes no timeline entries")
        if wanted == takes or (wanted == "auto" and takes == "custom_events"):
            return ok(takes)
        return warn(
            f"HUBSPOT_TIMELINE is {wanted}, but the worker uses {takes}",
            "see event_definitions and scopes; then restart the worker, which checks them when it starts",
        )

    async def _ask(self) -> WorkerStatus:
        async with httpx.AsyncClient(timeout=STATUS_WITHIN_S) as http:
            response = (await http.get(f"{self._url}/v1/status")).raise_for_status()
        return status_of(response.content, response.headers.get("content-type", "of no type"))


def status_of(content: bytes, content_type: str) -> WorkerStatus:
    """Return the status in an answer's body. Raises NotAWorker, which says what the answer is instead."""
    try:
        answer = read_json(content)
    except ValueError:
        raise NotAWorker(f"its status is no JSON, but {content_type}") from None
    if not isinstance(answer, dict):
        raise NotAWorker(f"its status is no object, but {shortened(json.dumps(answer), MOST_SHOWN)}")
    try:
        return WorkerStatus.model_validate(answer)
    except ValidationError as error:
        first = error.errors()[0]
        raise NotAWorker(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
