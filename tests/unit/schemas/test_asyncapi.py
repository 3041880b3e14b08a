"""The AsyncAPI document: valid by AsyncAPI's own schema, and true of topics, headers and examples."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator, Draft202012Validator

from schemas.dead_letters import DeadLetter
from schemas.envelope import Headers
from schemas.events import EVENTS
from schemas.publication import DIALECT, published
from schemas.topics import Topics

SPECIFICATION = Path(__file__).parents[2] / "asyncapi" / "3.0.0.json"
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return published()["asyncapi"]


def resolved(document: dict[str, Any], value: Any) -> Any:
    """Return *value* with what it refers to in its place."""
    if isinstance(value, dict) and set(value) == {"$ref"}:
        found: Any = document
        for step in value["$ref"].removeprefix("#/").split("/"):
            found = found[step]
        return resolved(document, found)
    if isinstance(value, dict):
        return {name: resolved(document, inner) for name, inner in value.items()}
    return [resolved(document, inner) for inner in value] if isinstance(value, list) else value


def test_it_is_valid_by_asyncapis_own_schema_and_refers_to_nothing_that_is_not_there(document: dict[str, Any]) -> None:
    specification = Draft7Validator(json.loads(SPECIFICATION.read_text("utf-8")))

    assert [error.json_path for error in specification.iter_errors(document)] == []
    assert "$ref" not in json.dumps(resolved(document, document))


def test_its_channels_are_the_topics_and_each_carries_its_own_event(document: dict[str, Any]) -> None:
    channels = resolved(document, document["channels"])

    assert [channel["address"] for channel in channels.values()] == list(Topics().published)
    for event_type in EVENTS:
        [message] = channels[event_type]["messages"].values()
        assert {"$schema": DIALECT, **message["payload"]} == published()[event_type]


def test_each_message_example_is_valid_by_the_messages_own_schemas(document: dict[str, Any]) -> None:
    for message in resolved(document, document["components"]["messages"]).values():
        for example in message["examples"]:
            Draft202012Validator(message["headers"]).validate(example["headers"])
            Draft202012Validator(message["payload"]).validate(example["payload"])


def test_its_headers_are_those_that_records_and_dead_letters_carry(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    record = Headers("id", "nova_earned", 1, TRACE).encode()
    letter = DeadLetter("reason", "detail", "topic", 0, 0, 1, datetime(2026, 11, 24, tzinfo=UTC)).headers(record)

    assert list(schemas["headers"]["properties"]) == [name for name, _ in record]
    assert list(schemas["dead_letter_headers"]["properties"]) == [name for name, _ in letter]
    Draft202012Validator(schemas["headers"]).validate({name: value.decode() for name, value in record})
    Draft202012Validator(schemas["dead_letter_headers"]).validate({name: value.decode() for name, value in letter})
