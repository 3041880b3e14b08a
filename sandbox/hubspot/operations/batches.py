"""Batch calls that write: the planning of their writes, and their answers.

If every input has a unique `objectWriteTraceId`, the good inputs are written, and the bad ones become errors of a 207.
Otherwise one bad input makes the whole call fail, and nothing is written.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sandbox.hubspot.http.answers import Answer, Refused, invalid, refuse
from sandbox.hubspot.http.calls import Call, as_text, repeated
from sandbox.hubspot.records.contacts import Contact
from sandbox.hubspot.records.notes import Note
from sandbox.hubspot.records.portal import Portal
from sandbox.hubspot.schema.validation import Failure, failures_message, refuse_failures

MOST_INPUTS: Final = 100

Write = Callable[[], dict[str, Any]]
"""Applies one write, and returns the record as the answer shows it."""


class BadInput(Exception):
    """An input that HubSpot does not accept: it causes a refusal of the whole call, or an error of a 207."""

    def __init__(
        self,
        message: str,
        category: str = "VALIDATION_ERROR",
        *,
        context: Mapping[str, list[str]] | None = None,
        errors: Sequence[dict[str, Any]] = (),
        status: int = 400,
    ) -> None:
        super().__init__(message)
        self.status: Final = status
        self.message: Final = message
        self.category: Final = category
        self.context: Final = dict(context or {})
        self.errors: Final = list(errors)

    def refusal(self) -> Refused:
        return refuse(
            self.status, self.message, self.category, context=self.context or None, errors=self.errors or None
        )


class InvalidInput(BadInput):
    """An input with values that HubSpot does not accept."""

    def __init__(self, failures: Sequence[Failure], portal_id: int) -> None:
        super().__init__(failures_message(failures, portal_id))
        self.failures: Final = failures
        self._portal_id = portal_id

    def refusal(self) -> Refused:
        return refuse_failures(self.failures, self._portal_id)


@dataclass(slots=True)
class Batch:
    """The planned writes of one call.

    `unknown` are ids of no contact, with the traces of their inputs; `claims` are the identities of earlier inputs.
    """

    portal: Portal
    call: Call
    writes: list[Write] = field(default_factory=list)
    problems: list[tuple[str | None, BadInput]] = field(default_factory=list)
    unknown: list[tuple[str, str | None]] = field(default_factory=list)
    claims: set[tuple[str, str]] = field(default_factory=set)


Plan = Callable[[Batch, dict[str, Any], str | None], None]
"""Adds one input and its trace to the batch. Raises BadInput."""


def read_inputs(call: Call, most: int = MOST_INPUTS) -> list[dict[str, Any]] | None:
    """Return the inputs; None if the body has no `inputs`, which HubSpot treats as an empty batch."""
    inputs = call.inputs()
    if inputs is not None and len(inputs) > most:
        raise invalid(f"The maximum number of inputs supported in a batch request is {most}.")
    return inputs


def check_no_duplicates(portal: Portal, ids: Sequence[str]) -> None:
    """Check that *ids* are unique. Raises Refused with 400, also if the inputs have traces."""
    if portal.settings.duplicate_ids == "refuse" and (again := repeated(ids)):
        raise duplicates(sorted(again))


def duplicates(ids: Sequence[str]) -> Refused:
    listed = ", ".join(ids)
    return invalid(f"Duplicate IDs found in batch input: [{listed}]. IDs must be unique", context={"ids": list(ids)})


def write(portal: Portal, call: Call, inputs: Sequence[dict[str, Any]], plan: Plan, *, success: int) -> Answer:
    """Plan every input, then apply all writes, only the good ones, or none."""
    started = portal.clock.timestamp()
    traces = [as_text(item["objectWriteTraceId"]) if item.get("objectWriteTraceId") else None for item in inputs]
    traced_all = None not in traces and len(set(traces)) == len(traces)
    one_by_one = traced_all and portal.settings.partial_failure == "multi_status"
    batch = Batch(portal, call)
    for item, trace in zip(inputs, traces, strict=True):
        try:
            if call.refuse_input and (refused := call.refuse_input(item)):
                raise refused
            plan(batch, item, trace)
        except BadInput as problem:
            batch.problems.append((trace, problem))
    if batch.problems and not one_by_one:
        raise _whole_refused(portal, [problem for _, problem in batch.problems])
    results = [apply() for apply in batch.writes]
    if portal.settings.result_trace_ids == "misplaced":
        _misplace_traces(results)
    if portal.settings.batch_status == "PENDING":
        now = portal.clock.timestamp()
        return Answer(success, {"status": "PENDING", "results": [], "requestedAt": started, "startedAt": now})
    return complete(portal, results, _errors(batch), success=success, started=started)


def complete(
    portal: Portal,
    results: list[dict[str, Any]],
    errors: Sequence[dict[str, Any]] = (),
    *,
    success: int = 200,
    started: str | None = None,
) -> Answer:
    """Return a batch's answer: the results in random order, with status 207 if there are errors."""
    portal.random.shuffle(results)
    body: dict[str, Any] = {"status": "COMPLETE", "results": results}
    if errors:
        body |= {"numErrors": len(errors), "errors": list(errors)}
    now = portal.clock.timestamp()
    body |= {"startedAt": started or now, "completedAt": now}
    return Answer(207 if errors else success, body)


def as_record(
    portal: Portal, one: Contact | Note, kind: str, properties: Mapping[str, str | None], **more: Any
) -> dict[str, Any]:
    """Return an object of HubSpot's type *kind* in HubSpot's format, with only these *properties*."""
    return {
        "id": one.id,
        **more,
        "properties": dict(properties),
        "createdAt": one.created_at,
        "updatedAt": one.updated_at,
        "archived": one.archived,
        "url": f"https://app.hubspot.com/contacts/{portal.portal_id}/record/{kind}/{one.id}",
    }


def not_found_error(ids: Sequence[str], kind: str = "CONTACT") -> dict[str, Any]:
    message = f"Could not get some {kind} objects, they may be deleted or not exist. Check that ids are valid."
    return {"status": "error", "category": "OBJECT_NOT_FOUND", "message": message, "context": {"ids": list(ids)}}


def traced(portal: Portal, trace: str | None, *, upsert: bool = False) -> dict[str, str]:
    """Return the trace of an input as fields of its result, as far as the portal's results have traces."""
    kept = portal.settings.result_trace_ids == "all" or (
        upsert and portal.settings.result_trace_ids in ("upserts", "misplaced")
    )
    return {"objectWriteTraceId": trace} if trace is not None and kept else {}


def _misplace_traces(results: Sequence[dict[str, Any]]) -> None:
    """Give each result the trace of the one before it, as a portal would that mixes them up."""
    traces = [result.pop("objectWriteTraceId", None) for result in results]
    for result, trace in zip(results, traces[-1:] + traces[:-1], strict=True):
        if trace is not None:
            result["objectWriteTraceId"] = trace


def _whole_refused(portal: Portal, problems: Sequence[BadInput]) -> Refused:
    """Return the refusal of a call: that of all invalid values, or, without any, that of the first bad input."""
    failures = [failure for problem in problems if isinstance(problem, InvalidInput) for failure in problem.failures]
    if failures:
        return refuse_failures(failures, portal.portal_id)
    return problems[0].refusal()


def _errors(batch: Batch) -> list[dict[str, Any]]:
    """Return the errors of a 207; inputs that fail for the same reason share one."""
    errors: dict[str, dict[str, Any]] = {}
    named = batch.portal.settings.error_trace_ids == "named"
    for trace, problem in batch.problems:
        error: dict[str, Any] = {
            "status": "error",
            "category": problem.category,
            "message": problem.message,
            "context": {**({"objectWriteTraceId": []} if named else {}), **problem.context},
        }
        if problem.errors:
            error["errors"] = problem.errors
        errors.setdefault(problem.message, error)["context"].get("objectWriteTraceId", []).append(trace)
    return [*errors.values(), *_unknown(batch)]


def _unknown(batch: Batch) -> list[dict[str, Any]]:
    """Return the error for unknown ids, with the traces of their inputs if they have any."""
    if not batch.unknown:
        return []
    error = not_found_error([named for named, _ in batch.unknown])
    traces = [trace for _, trace in batch.unknown if trace is not None]
    if traces and batch.portal.settings.error_trace_ids == "named":
        error["context"]["objectWriteTraceId"] = traces
    return [error]
