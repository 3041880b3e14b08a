"""Batch calls about contacts that answer one by one: the plan of a write, and what becomes of it.

Without a unique `objectWriteTraceId` on every input one bad input takes the whole call down, and nothing is written;
with them the good ones are written, and the bad ones are errors of a 207.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sandbox.hubspot.answers import Answer, Refused, invalid, refuse
from sandbox.hubspot.calls import Call, as_object, as_text
from sandbox.hubspot.contact_records import already_exists, changed, record
from sandbox.hubspot.contacts import Contact, Identity
from sandbox.hubspot.portal import Portal
from sandbox.hubspot.validation import Failure, failures_message, refuse_failures

MOST_INPUTS: Final = 100
NOT_FOUND: Final = "Could not get some CONTACT objects, they may be deleted or not exist. Check that ids are valid."


@dataclass(slots=True)
class PlannedWrite:
    """A write that HubSpot takes; without a contact it creates one."""

    contact: Contact | None
    properties: dict[str, str]
    trace: str | None


class InvalidInput(Exception):
    """An input with values that HubSpot does not take."""

    def __init__(self, failures: Sequence[Failure]) -> None:
        super().__init__(f"{len(failures)} values were not valid")
        self.failures: Final = failures


class Conflict(Exception):
    """An input that claims what another contact has, or what an earlier input of the call claims."""

    def __init__(self, holder: Contact | None) -> None:
        super().__init__("another contact has it")
        self.message: Final = already_exists(holder) if holder else "Contact already exists"
        self.existing: Final = [holder.id] if holder else []


@dataclass(slots=True)
class Batch:
    """The writes of one call while they are planned."""

    portal: Portal
    writes: list[PlannedWrite] = field(default_factory=list)
    problems: list[tuple[str | None, InvalidInput | Conflict]] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    claims: set[Identity] = field(default_factory=set)

    def claim(self, properties: dict[str, str], contact: Contact | None) -> None:
        """Reserve the identities of *properties* for one input. Raises Conflict."""
        for identity in self.portal.contacts.identities(properties):
            holder = self.portal.contacts.by_identity(identity)
            if (holder is not None and holder is not contact) or identity in self.claims:
                raise Conflict(holder if holder is not contact else None)
            self.claims.add(identity)


Plan = Callable[[Batch, dict[str, Any], str | None], None]
"""Adds one input to the batch. Raises InvalidInput or Conflict."""


def read_inputs(call: Call) -> list[dict[str, Any]] | None:
    """Return the inputs, or None without the wrapper, which HubSpot takes for a call that asks for nothing."""
    body = call.json()
    inputs = body.get("inputs") if isinstance(body, dict) else None
    if not isinstance(inputs, list):
        return None
    if len(inputs) > MOST_INPUTS:
        raise invalid(f"The maximum number of inputs supported in a batch request is {MOST_INPUTS}.")
    return [as_object(item) for item in inputs]


def check_no_duplicates(ids: Sequence[str]) -> None:
    """Raises Refused with 400, whatever traces there are."""
    if len(set(ids)) == len(ids):
        return
    again = sorted({named for named in ids if ids.count(named) > 1})
    raise duplicates(again)


def duplicates(ids: Sequence[str]) -> Refused:
    listed = ", ".join(ids)
    return invalid(f"Duplicate IDs found in batch input: [{listed}]. IDs must be unique", context={"ids": list(ids)})


def write(
    portal: Portal, inputs: Sequence[dict[str, Any]], plan: Plan, *, success: int, tells_new: bool = False
) -> Answer:
    """Plan every input, then write all, or those that are good, or none."""
    started = portal.clock.timestamp()
    traces = [as_text(item["objectWriteTraceId"]) if item.get("objectWriteTraceId") else None for item in inputs]
    one_by_one = None not in traces and len(set(traces)) == len(traces)
    batch = Batch(portal)
    for item, trace in zip(inputs, traces, strict=True):
        try:
            plan(batch, item, trace)
        except (InvalidInput, Conflict) as problem:
            batch.problems.append((trace, problem))
    if batch.problems and not one_by_one:
        raise _whole_refused(portal, [problem for _, problem in batch.problems])
    results = [_apply(portal, planned, tells_new=tells_new) for planned in batch.writes]
    return complete(portal, results, _errors(batch), success=success, started=started)


def complete(
    portal: Portal,
    results: list[dict[str, Any]],
    errors: Sequence[dict[str, Any]] = (),
    *,
    success: int = 200,
    started: str | None = None,
) -> Answer:
    """Return a batch's answer: results in any order, and 207 where there are errors."""
    portal.random.shuffle(results)
    body: dict[str, Any] = {"status": "COMPLETE", "results": results}
    if errors:
        body |= {"numErrors": len(errors), "errors": list(errors)}
    now = portal.clock.timestamp()
    body |= {"startedAt": started or now, "completedAt": now}
    return Answer(207 if errors else success, body)


def not_found_error(ids: Sequence[str]) -> dict[str, Any]:
    return {"status": "error", "category": "OBJECT_NOT_FOUND", "message": NOT_FOUND, "context": {"ids": list(ids)}}


def _apply(portal: Portal, planned: PlannedWrite, *, tells_new: bool) -> dict[str, Any]:
    more: dict[str, Any] = {"new": planned.contact is None} if tells_new else {}
    if planned.trace is not None:
        more["objectWriteTraceId"] = planned.trace
    if planned.contact is None:
        contact = portal.contacts.create(planned.properties, planned.trace)
        return record(portal, contact, contact.properties, **more)
    portal.contacts.update(planned.contact, planned.properties, planned.trace)
    return record(portal, planned.contact, changed(planned.contact, planned.properties), **more)


def _whole_refused(portal: Portal, problems: Sequence[InvalidInput | Conflict]) -> Refused:
    failures = [failure for problem in problems if isinstance(problem, InvalidInput) for failure in problem.failures]
    if failures:
        return refuse_failures(failures, portal.portal_id)
    first = next(problem for problem in problems if isinstance(problem, Conflict))
    return refuse(409, first.message, "CONFLICT")


def _errors(batch: Batch) -> list[dict[str, Any]]:
    """Return the errors of a 207; inputs that fail for the same reason share one."""
    errors: dict[str, dict[str, Any]] = {}
    for trace, problem in batch.problems:
        if isinstance(problem, InvalidInput):
            category, message = "VALIDATION_ERROR", failures_message(problem.failures, batch.portal.portal_id)
        else:
            category, message = "CONFLICT", problem.message
        error = {"status": "error", "category": category, "message": message, "context": {"objectWriteTraceId": []}}
        context = errors.setdefault(message, error)["context"]
        context["objectWriteTraceId"].append(trace)
        if isinstance(problem, Conflict) and problem.existing:
            context["existingId"] = problem.existing
    return [*errors.values(), *([not_found_error(batch.unknown)] if batch.unknown else [])]
