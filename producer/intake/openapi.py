"""The intake's description: OpenAPI for programs, and a self-contained page for people."""

import json
from functools import cache
from html import escape
from typing import Any, Final

from pydantic.json_schema import models_json_schema

from producer.intake.problems import KINDS, MEDIA_TYPE
from producer.intake.submissions import LARGEST_BATCH
from producer.tracking import TRACEPARENT
from schemas.events import EVENTS
from schemas.publication import record_schema

_REF: Final = "#/components/schemas/{model}"
_KEY_SAYS: Final = (
    "A name for this request, such as a UUID. The same key with the same request within a day has one effect."
)


def example(event_type: str) -> dict[str, Any]:
    """Return a valid payload: the example of the published schema."""
    return dict(_examples()[event_type])


@cache
def _examples() -> dict[str, dict[str, Any]]:
    # A schema takes milliseconds to generate, and the description names each example several times.
    return {name: record_schema(model)["examples"][0]["payload"] for name, model in EVENTS.items()}


def document() -> dict[str, Any]:
    """Return the OpenAPI document of the two routes. The schema of each event is generated from its model."""
    _, made = models_json_schema([(model, "validation") for model in EVENTS.values()], ref_template=_REF)
    schemas = made["$defs"]
    for schema in schemas.values():
        # The path has the type, or the item of a batch beside the payload.
        schema["properties"].pop("type", None)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Nerava lifecycle: intake",
            "version": "1",
            "description": "Lifecycle events of services that don't have the outbox's database.",
        },
        "security": [{"token": []}],
        "paths": {
            "/v1/events/{type}": {"post": _one()},
            "/v1/events:batch": {"post": _batch()},
        },
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": {**schemas, "Problem": _problem(), "Item": {"oneOf": [_item(name) for name in EVENTS]}},
        },
    }


def _one() -> dict[str, Any]:
    return {
        "operationId": "post_event",
        "summary": "Take one event. When this answers, the event is committed.",
        "parameters": [
            {"name": "type", "in": "path", "required": True, "schema": {"enum": list(EVENTS)}},
            _header("Idempotency-Key", _KEY_SAYS, {"type": "string", "minLength": 1, "maxLength": 255}, required=True),
            _header(
                "Occurred-At", "When the event happened; the default is now.", {"type": "string", "format": "date-time"}
            ),
            _header(
                "traceparent",
                "A W3C trace context; it travels with the event.",
                {"type": "string", "pattern": TRACEPARENT},
            ),
        ],
        "requestBody": _body(
            {"oneOf": [_ref(model.__name__) for model in EVENTS.values()]},
            {name: {"value": example(name)} for name in EVENTS},
        ),
        "responses": _responses({"id": _UUID}),
    }


def _batch() -> dict[str, Any]:
    items = [{"type": name, "payload": example(name)} for name in ("driver_signed_up", "nova_earned")]
    return {
        "operationId": "post_batch",
        "summary": f"Take up to {LARGEST_BATCH} events, or none of them, in the order of the list.",
        "parameters": [
            _header(
                "Idempotency-Key",
                f"{_KEY_SAYS} Needed unless each item has an `idempotency_key`.",
                {"type": "string", "minLength": 1, "maxLength": 255},
            )
        ],
        "requestBody": _body(
            {"type": "array", "minItems": 1, "maxItems": LARGEST_BATCH, "items": _ref("Item")},
            {"two": {"value": items}},
        ),
        "responses": _responses({"ids": {"type": "array", "items": _UUID}}),
    }


_UUID: Final = {"type": "string", "format": "uuid"}


def _item(event_type: str) -> dict[str, Any]:
    return {
        "type": "object",
        "additionalProperties": False,
        "required": ["type", "payload"],
        "properties": {
            "type": {"const": event_type},
            "payload": _ref(EVENTS[event_type].__name__),
            "occurred_at": {"type": "string", "format": "date-time"},
            "traceparent": {"type": "string", "pattern": TRACEPARENT},
            "idempotency_key": {"type": "string", "minLength": 1, "maxLength": 255},
        },
    }


def _problem() -> dict[str, Any]:
    fault = {
        "type": "object",
        "required": ["field", "detail"],
        "properties": {
            "index": {"type": "integer", "description": "place in the batch, from 0"},
            "field": {"type": "string"},
            "detail": {"type": "string"},
        },
    }
    return {
        "type": "object",
        "description": "Problem details of RFC 9457. `about:blank` is what HTTP itself says, such as 405.",
        "required": ["type", "title", "status"],
        "properties": {
            "type": {"enum": [*(f"/docs#{code}" for code in KINDS), "about:blank"]},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "detail": {"type": "string"},
            "errors": {"type": "array", "items": fault},
        },
    }


def _responses(answer: dict[str, Any]) -> dict[str, Any]:
    accepted = {"type": "object", "required": list(answer), "properties": answer}
    titles: dict[int, list[str]] = {}
    for kind in KINDS.values():
        titles.setdefault(kind.status.value, []).append(kind.title)
    refused = {
        str(status): {
            "description": ", or: ".join(kinds),
            "content": {MEDIA_TYPE: {"schema": _ref("Problem")}},
        }
        for status, kinds in sorted(titles.items())
    }
    return {
        "202": {
            "description": "Committed, and on its way. The same request with the same key is answered the same.",
            "content": {"application/json": {"schema": accepted}},
        },
        **refused,
    }


def _header(name: str, description: str, schema: dict[str, Any], *, required: bool = False) -> dict[str, Any]:
    return {"name": name, "in": "header", "required": required, "description": description, "schema": schema}


def _body(schema: dict[str, Any], examples: dict[str, Any]) -> dict[str, Any]:
    return {"required": True, "content": {"application/json": {"schema": schema, "examples": examples}}}


def _ref(name: str) -> dict[str, str]:
    return {"$ref": _REF.format(model=name)}


def page() -> str:
    """Return the page at /docs: the two routes, the events, and each problem under its code."""
    events = "".join(
        f'<h3 id="{name}">POST /v1/events/{name}</h3><pre>{escape(json.dumps(example(name), indent=2))}</pre>'
        for name in EVENTS
    )
    problems = "".join(
        f'<h3 id="{code}">{kind.status.value} {escape(kind.title)}</h3><p>{escape(kind.advice)}</p>'
        for code, kind in KINDS.items()
    )
    return _PAGE.format(events=events, problems=problems, most=LARGEST_BATCH)


_PAGE: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Nerava lifecycle: intake</title>
<style>body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 2rem auto; padding: 0 1rem }}
pre {{ background: #f4f4f4; padding: .8rem; overflow: auto }} :target {{ background: #ffc }}</style></head><body>
<h1>Intake of lifecycle events</h1>
<p>For programs: <a href="openapi.json">openapi.json</a> (OpenAPI 3.1).</p>
<p>The body of a request is the event's payload, as <code>Content-Type: application/json</code>, with the headers
<code>Authorization: Bearer …</code> and <code>Idempotency-Key: …</code>. <code>Occurred-At</code> and
<code>traceparent</code> may be added. The answer is 202 and <code>{{"id": "…"}}</code>, once the event is committed.
The same key with the same request within a day is answered the same, and has one effect.</p>
<h2>Many at once: POST /v1/events:batch</h2>
<p>A list of up to {most} of <code>{{"type": "…", "payload": {{…}}, "occurred_at": "…", "traceparent": "…",
"idempotency_key": "…"}}</code>, of which the first two are needed. All are taken, in this order, or none.
Send the header <code>Idempotency-Key</code>, or an <code>idempotency_key</code> in each.</p>
<h2>Events</h2>
{events}
<h2>Problems</h2>
<p>Each refusal is <code>application/problem+json</code> (RFC 9457); its <code>type</code> is one of these.</p>
{problems}
</body></html>
"""
