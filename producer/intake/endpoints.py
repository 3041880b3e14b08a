"""The HTTP endpoints of the intake: from requests to answers."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Final

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse

from producer.intake import submissions
from producer.intake.intake import Accepted, Intake
from producer.intake.openapi import document, page
from producer.intake.problems import KINDS, Fault, Problem, answer_with_problems, refuse_faulty
from producer.intake.requests import admit, idempotency_key, read_json
from producer.telemetry import Telemetry
from schemas.events import EVENT_TYPES

# The outbox's limit on one event, and a limit on a batch.
LARGEST_EVENT: Final = 900_000
LARGEST_BODY: Final = 1024 * 1024


def add_intake(app: FastAPI, intake: Intake, tokens: Collection[str], telemetry: Telemetry) -> None:
    """Add the endpoints for events to *app*, and their description at /openapi.json and /docs."""
    answer_with_problems(app)
    for outcome in ("accepted", "repeated", *KINDS):
        # The counters begin at 0, as the producer's other counters: see its telemetry.
        telemetry.intake.labels(outcome)
    described, shown = document(), page()

    @app.post("/v1/events/{event_type}")
    async def post_event(event_type: str, request: Request) -> JSONResponse:
        with _counted(telemetry):
            admit(request, tokens)
            if event_type not in EVENT_TYPES:
                raise Problem("unknown_event_type", f"there are {', '.join(EVENT_TYPES)}")
            key = idempotency_key(request)
            if key is None:
                raise Problem("bad_idempotency_key", "the header Idempotency-Key is missing")
            with intake.place():
                submitted = submissions.one(
                    event_type,
                    await read_json(request, at_most=LARGEST_EVENT),
                    occurred_at=request.headers.get("occurred-at"),
                    traceparent=request.headers.get("traceparent"),
                    key=key,
                )
                accepted = await intake.accept(submitted)
        _count(telemetry, accepted)
        return JSONResponse({"id": str(accepted.ids[0])}, status_code=202)

    @app.post("/v1/events:batch")
    async def post_batch(request: Request) -> JSONResponse:
        with _counted(telemetry):
            admit(request, tokens)
            key = idempotency_key(request)
            with intake.place():
                body = await read_json(request, at_most=LARGEST_BODY)
                submitted = submissions.batch(body, traceparent=request.headers.get("traceparent"))
                if key is None:
                    _refuse_without_key(submitted)
                accepted = await intake.accept(submitted, key)
        _count(telemetry, accepted)
        return JSONResponse({"ids": [str(event_id) for event_id in accepted.ids]}, status_code=202)

    @app.get("/openapi.json")
    async def openapi() -> JSONResponse:
        return JSONResponse(described)

    @app.get("/docs")
    async def docs() -> HTMLResponse:
        return HTMLResponse(shown)


def _refuse_without_key(submitted: list[submissions.Submission]) -> None:
    missing = "is missing, and so is the header Idempotency-Key"
    unnamed = [index for index, submission in enumerate(submitted) if submission.key is None]
    refuse_faulty("bad_idempotency_key", [Fault("idempotency_key", missing, index) for index in unnamed])


@contextmanager
def _counted(telemetry: Telemetry) -> Iterator[None]:
    try:
        yield
    except Problem as problem:
        telemetry.intake.labels(problem.code).inc()
        raise


def _count(telemetry: Telemetry, accepted: Accepted) -> None:
    telemetry.intake.labels("repeated" if accepted.repeated else "accepted").inc()
