"""The AsyncAPI document: the topics and the structure of their records."""

from collections.abc import Mapping
from typing import Any, Final

from schemas.dead_letters import LARGEST_DEAD_LETTER, PREFIX
from schemas.envelope import Headers
from schemas.topics import EVENT_RETENTION_MS, Topics

VERSION: Final = "3.0.0"
KAFKA_BINDING: Final = "0.5.0"
DEAD_LETTER: Final = "dead_letter"

ABOUT: Final = """\
What happened to drivers and merchants, one topic for each kind of event, on Apache Kafka.

A contact's events are in several topics; `sequence` counts them 1, 2, 3… with no hole, and says in which order they
took effect. The key is the contact key. All topics of events have equally many partitions, so that a contact has the
same partition number in each. A record may come again, with the same `id`. Ignore fields that are not named here.

Topics are named under KAFKA_TOPIC_PREFIX, which is `lifecycle.` here."""

HEADERS: Final = {
    "id": "The event's id, as in the value",
    "type": "The event's type, as in the value",
    "sequence": "The sequence, as in the value, in decimal digits",
    "traceparent": "W3C trace context of whoever produced the event",
}
DEAD_LETTER_HEADERS: Final = {
    "reason": "Why it was set aside, in one word of a fixed set: the runbook lists them",
    "detail": "What is wrong, without personal data: a field's name, or HubSpot's words",
    "topic": "Where the record was",
    "partition": "Where the record was, in decimal digits; -1 for what never was a record",
    "offset": "Where the record was, in decimal digits; -1 for what never was a record",
    "attempts": "How often it was tried, in decimal digits",
    "failed_at": "When it was set aside, as RFC 3339 in UTC",
}
"""Descriptions by the names in `DeadLetter`; in a record these have a prefix."""

EXAMPLE: Final = {
    "reason": "invalid_envelope",
    "detail": "payload.amount_cents: Field required",
    "topic": "lifecycle.nova_earned",
    "partition": "3",
    "offset": "1041",
    "attempts": "1",
    "failed_at": "2026-11-24T03:00:01.000000Z",
}

Document = dict[str, Any]


def asyncapi(records: Mapping[str, Document]) -> Document:
    """Return the document, which contains *records*, the JSON Schemas of the events by their type."""
    topics = Topics()
    addresses = {event_type: topics.of(event_type) for event_type in records}
    return {
        "asyncapi": VERSION,
        "info": {"title": "Nerava lifecycle events", "version": _version(records), "description": ABOUT},
        "defaultContentType": "application/json",
        "channels": {
            **{event_type: _channel(event_type, address) for event_type, address in addresses.items()},
            "dead_letters": _channel(DEAD_LETTER, topics.dead_letters),
        },
        "operations": {
            **{f"publish_{event_type}": _sending(event_type, event_type) for event_type in records},
            "set_aside": _sending("dead_letters", DEAD_LETTER),
        },
        "components": {
            "messages": {
                **{event_type: _event(event_type, schema) for event_type, schema in records.items()},
                DEAD_LETTER: _dead_letter(),
            },
            "schemas": {
                "headers": _headers(HEADERS, required=["id", "type"]),
                "dead_letter_headers": _headers(
                    HEADERS | {PREFIX + name: about for name, about in DEAD_LETTER_HEADERS.items()},
                    required=[PREFIX + name for name in DEAD_LETTER_HEADERS],
                ),
                **{event_type: _without_dialect(schema) for event_type, schema in records.items()},
            },
        },
    }


def _version(records: Mapping[str, Document]) -> str:
    """Return the version of the schemas, which all events share."""
    [version] = {schema["properties"]["schema_version"]["const"] for schema in records.values()}
    return f"{version}.0.0"


def _channel(message: str, address: str) -> Document:
    dead = message == DEAD_LETTER
    settings: Document = {"cleanup.policy": ["delete"], "retention.ms": -1 if dead else EVENT_RETENTION_MS}
    if dead:
        settings["max.message.bytes"] = LARGEST_DEAD_LETTER
    return {
        "address": address,
        "description": "Events that were set aside, for ever." if dead else "Kept for 30 days at least.",
        "messages": {message: {"$ref": f"#/components/messages/{message}"}},
        "bindings": {"kafka": {"topicConfiguration": settings, "bindingVersion": KAFKA_BINDING}},
    }


def _sending(channel: str, message: str) -> Document:
    return {
        "action": "send",
        "channel": {"$ref": f"#/channels/{channel}"},
        "messages": [{"$ref": f"#/channels/{channel}/messages/{message}"}],
    }


def _event(event_type: str, schema: Document) -> Document:
    [example] = schema["examples"]
    headers = Headers(example["id"], event_type, example["sequence"]).encode()
    return {
        "name": event_type,
        "description": schema["properties"]["payload"]["description"],
        "headers": {"$ref": "#/components/schemas/headers"},
        "payload": {"$ref": f"#/components/schemas/{event_type}"},
        "bindings": _keyed(),
        "examples": [{"headers": {name: value.decode() for name, value in headers}, "payload": example}],
    }


def _dead_letter() -> Document:
    return {
        "name": DEAD_LETTER,
        "description": "A record that nobody could read, or that HubSpot refused: key, value and headers as they were.",
        "contentType": "application/octet-stream",
        "headers": {"$ref": "#/components/schemas/dead_letter_headers"},
        "payload": {"description": "Whatever the record's value was; most often an event's"},
        "bindings": _keyed(),
        "examples": [{"headers": {PREFIX + name: value for name, value in EXAMPLE.items()}, "payload": {}}],
    }


def _keyed() -> Document:
    key = _text("The contact key in UTF-8: the email, trimmed, lower-cased, Unicode NFC")
    return {"kafka": {"key": key, "bindingVersion": KAFKA_BINDING}}


def _headers(described: Mapping[str, str], *, required: list[str]) -> Document:
    properties = {name: _text(about) for name, about in described.items()}
    return {"type": "object", "properties": properties, "required": required}


def _text(about: str) -> Document:
    return {"type": "string", "description": about}


def _without_dialect(schema: Document) -> Document:
    # AsyncAPI's dialect is a superset of draft 7, in which every keyword used here has the same meaning.
    return {word: value for word, value in schema.items() if word != "$schema"}
