"""What the intake says of itself is what it does."""

import re
from typing import Any, get_args

import pytest

from producer.intake.openapi import document, example, page
from producer.intake.problems import KINDS, Code
from producer.tracking import checked
from schemas.contacts import without_emails
from schemas.events import EVENT_TYPES, EVENTS

POST = document()["paths"]["/v1/events/{type}"]["post"]
SCHEMAS = document()["components"]["schemas"]


@pytest.mark.parametrize("event_type", EVENT_TYPES)
def test_the_example_of_each_event_is_taken(event_type: str) -> None:
    checked(event_type, example(event_type))

    assert event_type in page()
    assert POST["requestBody"]["content"]["application/json"]["examples"][event_type] == {"value": example(event_type)}


@pytest.mark.parametrize("event_type", EVENT_TYPES)
def test_the_schema_of_each_event_is_its_models(event_type: str) -> None:
    schema, fields = SCHEMAS[EVENTS[event_type].__name__], EVENTS[event_type].model_fields

    assert set(schema["properties"]) == set(fields) - {"type"}
    assert set(schema["required"]) == {name for name, field in fields.items() if field.is_required()}
    assert schema["additionalProperties"] is False


def test_the_type_is_one_of_the_events() -> None:
    assert POST["parameters"][0]["schema"] == {"enum": list(EVENT_TYPES)}


def test_every_reference_leads_somewhere() -> None:
    led = set(_references(document()))

    assert led == {f"#/components/schemas/{name}" for name in SCHEMAS}


def test_every_problem_is_told_of_where_its_type_leads() -> None:
    assert set(KINDS) == set(get_args(Code))
    for code, kind in KINDS.items():
        assert f'<h3 id="{code}">{kind.status.value}' in page()
        assert str(kind.status.value) in POST["responses"]


def test_the_page_needs_nothing_from_elsewhere_and_its_emails_are_samples() -> None:
    assert re.findall(r"(?:src|href)=\"([^\"]*)\"", page()) == ["openapi.json"]
    shown = page().replace("@example.com", "")
    assert without_emails(shown) == shown


def _references(part: Any) -> Any:
    if isinstance(part, dict):
        yield from ([part["$ref"]] if "$ref" in part else [])
        for inner in part.values():
            yield from _references(inner)
    elif isinstance(part, list):
        for inner in part:
            yield from _references(inner)
