"""Questions about calls for several contacts: whose result is whose, and what one faulty input does to the others."""

from typing import Final

from hubspot_consumer.hubspot.status_codes import succeeded
from hubspot_consumer.probe.answers import errors, no_answer, property_of, results, trace_of, traces_in, words
from hubspot_consumer.probe.question import Found, Question, as_expected, differs, not_told
from hubspot_consumer.probe.subject import INVALID, MAIN, OTHER, TWICE, VALID, Subject, whole

FIRST: Final = {"probe-1": MAIN, "probe-2": OTHER}
"""The inputs of the first write: the email of each trace id."""
# No portal has a stage that is called so.
_NO_STAGE: Final = "nerava_probe_no_such_stage"
_HALVES: Final = "such a call is sent again in halves: some 14 calls more for a fault among 100, and nothing is lost"


async def _batch_results(subject: Subject) -> Found:
    answer = subject.written
    if (why := no_answer(answer)) is not None:
        return not_told(why)
    told = len(results(answer)) + len({trace for error in errors(answer) for trace in traces_in(error)})
    what = f"{len(results(answer))} results for {len(FIRST)} inputs ({words(answer)})"
    return as_expected(what) if told >= len(FIRST) else differs(what)


async def _trace_ids_in_results(subject: Subject) -> Found:
    if not (found := results(subject.written)):
        return not_told(f"no result: {words(subject.written)}")
    without = sum(not trace_of(one) for one in found)
    return (
        differs(f"{without} of {len(found)} results have none") if without else as_expected("all results have theirs")
    )


async def _results_by_trace_id(subject: Subject) -> Found:
    pairs = [(trace_of(one), property_of(one, "email").lower()) for one in results(subject.written)]
    named = [(trace, email) for trace, email in pairs if trace in FIRST and email]
    if not named:
        return not_told(f"no result has a trace id and an email: {words(subject.written)}")
    if wrong := [trace for trace, email in named if FIRST[trace] != email]:
        return differs(f"{len(wrong)} of {len(named)} results have the trace id of another contact")
    ordered = [trace for trace, _ in named] == list(FIRST)
    return as_expected(f"they belong together; results {'have' if ordered else 'do not have'} the order of the inputs")


async def _partial_failure(subject: Subject) -> Found:
    inputs = [whole("probe-valid", VALID), whole("probe-invalid", INVALID, lifecyclestage=_NO_STAGE)]
    answer = subject.mixed = await subject.upsert(*inputs)
    if (why := no_answer(answer)) is not None:
        return not_told(why)
    if not succeeded(answer):
        return differs(f"the whole call is refused: {words(answer)}")
    if not errors(answer):
        return not_told(f"HubSpot accepted a lifecycle stage that does not exist: {words(answer)}")
    if all(property_of(one, "email").lower() != VALID for one in results(answer)):
        return differs(f"the valid input is not written: {words(answer)}")
    return as_expected(words(answer))


async def _trace_ids_in_errors(subject: Subject) -> Found:
    if not (found := errors(subject.mixed)):
        return not_told(f"no error of a single input: {words(subject.mixed)}")
    named = {trace for error in found for trace in traces_in(error)}
    return (
        as_expected("it is named") if "probe-invalid" in named else differs(f"it is not named: {words(subject.mixed)}")
    )


async def _duplicate_ids(subject: Subject) -> Found:
    answer = await subject.upsert(whole("probe-once", TWICE), whole("probe-twice", TWICE))
    if (why := no_answer(answer)) is not None:
        return not_told(why)
    return differs(f"accepted: {words(answer)}") if succeeded(answer) else as_expected(words(answer))


QUESTIONS: Final = (
    Question(
        "batch_results",
        "the answer to a write tells the outcome of every input, at once",
        "create two test contacts in one call",
        "contacts are written again and again, because no answer confirms them",
        _batch_results,
    ),
    Question(
        "trace_ids_in_results",
        "each result of an upsert has the objectWriteTraceId of its input",
        "look at the answer to that call",
        "results are matched by email; a contact found by an additional email may be written again alone",
        _trace_ids_in_results,
    ),
    Question(
        "results_by_trace_id",
        "a result with an input's trace id is of that input's contact, in whatever order results come",
        "look at the answer to that call",
        "an event could count as delivered that was not: do not go live, and report it",
        _results_by_trace_id,
    ),
    Question(
        "partial_failure",
        "one invalid input of several is an error of its own (207), and the others are written",
        "upsert a valid test contact and one with a lifecycle stage that does not exist",
        _HALVES,
        _partial_failure,
    ),
    Question(
        "trace_ids_in_errors",
        "the error of an input has its objectWriteTraceId",
        "look at the answer to that call",
        _HALVES,
        _trace_ids_in_errors,
    ),
    Question(
        "duplicate_ids",
        "the same id twice in a call: the whole call is refused",
        "upsert the same test contact twice in one call",
        "no harm: the client never sends an id twice in a call",
        _duplicate_ids,
    ),
)
