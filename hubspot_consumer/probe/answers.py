"""What an answer says to the probe, word by word. Everywhere else only `hubspot` reads statuses and bodies."""

from typing import Any

from hubspot_consumer.hubspot.bodies import body_of, named_in, objects_of, text_of, words_of
from hubspot_consumer.hubspot.outcomes import Halt, Outcome, Rejected, RetryLater, is_not_found
from hubspot_consumer.hubspot.requests import Upsert
from hubspot_consumer.hubspot.results import read_written
from hubspot_consumer.hubspot.status_codes import LONGEST_DETAIL, Answer, read_refusal, succeeded
from hubspot_consumer.probe.question import Found, as_expected, differs, not_told


def no_answer(answer: Answer) -> RetryLater | Halt | None:
    """Return why an answer tells nothing: none came, or one about the token, the path or the quota. None if it does."""
    refusal = None if succeeded(answer) else read_refusal(answer)
    return None if isinstance(refusal, Rejected) else refusal


def found_at(documented: str, answer: Answer) -> Found:
    """Return whether the *documented* path answers a call that tries the others after a 404."""
    if isinstance(answer, RetryLater):
        return not_told(answer)
    refusal = None if succeeded(answer) else read_refusal(answer)
    if is_not_found(refusal):
        return differs(f"none of the known paths exists: {words(answer)}")
    if isinstance(refusal, RetryLater | Halt):
        return not_told(refusal)
    path = answer.request.url.path
    told = f"{path} answers ({words(answer)})"
    return as_expected(told) if path.endswith(documented) else differs(told)


def words(answer: Answer) -> str:
    """Return an answer in a line for people: its status, and HubSpot's words if it has any."""
    if not succeeded(answer):
        return read_refusal(answer).detail
    told = [words_of(error.get("message"), LONGEST_DETAIL) for error in errors(answer)]
    return f"{answer.status_code}{f': {told[0]}' if told else ''}"


def results(answer: Answer) -> list[dict[str, Any]]:
    return _objects(answer, "results")


def errors(answer: Answer) -> list[dict[str, Any]]:
    return _objects(answer, "errors")


def trace_of(result: dict[str, Any]) -> str:
    return text_of(result.get("objectWriteTraceId"))


def traces_in(error: dict[str, Any]) -> set[str]:
    return named_in(error, "objectWriteTraceId")


def property_of(result: dict[str, Any], name: str) -> str:
    """Return a property in a result; an empty text if the result lacks it."""
    properties = result.get("properties")
    return text_of(properties.get(name)) if isinstance(properties, dict) else ""


def outcome_of(answer: Answer, one: Upsert) -> Outcome:
    """Return what the client makes of the answer to a call with one input."""
    return read_written(answer, [one]).outcomes[one.trace_id]


def _objects(answer: Answer, name: str) -> list[dict[str, Any]]:
    return objects_of(body_of(answer).get(name)) if succeeded(answer) else []
