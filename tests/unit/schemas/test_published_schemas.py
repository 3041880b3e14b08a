"""The files in schemas/published: up to date, compatible with what was published, and true of every record."""

import copy
import json
import string
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft7Validator, Draft202012Validator, FormatChecker
from jsonschema.protocols import Validator

from schemas.compatibility import breaks
from schemas.envelope import UnreadableRecord, read_envelope
from schemas.events import EVENTS, Event
from schemas.publication import FOLDER, as_text, documents, publish, published
from tests.samples import EMAIL, envelope, value

FORMATS = FormatChecker()


@FORMATS.checks("date-time", ValueError)
def _has_a_time_zone(text: object) -> bool:
    return not isinstance(text, str) or datetime.fromisoformat(text).tzinfo is not None


@cache
def validator(event_type: str) -> Validator:
    return Draft202012Validator(published()[event_type], format_checker=FORMATS)


def faults(event_type: str, record: Any) -> list[str]:
    return [f"{error.json_path}: {error.message}" for error in validator(event_type).iter_errors(record)]


def read(record: object) -> bool:
    try:
        read_envelope(EMAIL.encode(), json.dumps(record).encode())
    except UnreadableRecord:
        return False
    return True


def test_the_files_are_what_the_models_say_and_break_no_reader() -> None:
    assert breaks(published(), documents()) == [], "readers would break: raise schema_version"
    stale = {
        name for name, made in documents().items() if (FOLDER / f"{name}.json").read_text("utf-8") != as_text(made)
    }
    assert not stale, "run `make schemas` and commit what it writes"
    assert set(published()) == set(documents()), "run `make schemas` and commit what it writes"


def test_publishing_again_writes_the_same_and_removes_what_is_no_more(tmp_path: Path) -> None:
    publish(documents() | {"coffee_drunk": {}}, tmp_path)
    publish(documents(), tmp_path)

    assert published(tmp_path) == documents()
    assert {path.name: path.read_text("utf-8") for path in tmp_path.iterdir()} == {
        path.name: path.read_text("utf-8") for path in FOLDER.iterdir()
    }


@pytest.mark.parametrize("event_type", EVENTS)
def test_each_is_json_schema_to_old_and_new_readers_and_its_example_is_a_record(event_type: str) -> None:
    schema = published()[event_type]
    Draft202012Validator.check_schema(schema)
    Draft7Validator.check_schema(schema)

    [example] = schema["examples"]

    assert faults(event_type, example) == []
    assert read_envelope(EMAIL.encode(), value(example)).type == event_type


@pytest.mark.parametrize("event_type", EVENTS)
def test_every_field_says_what_it_means(event_type: str) -> None:
    def mute(schema: dict[str, Any], path: str) -> list[str]:
        inner = [
            fault for name, field in schema.get("properties", {}).items() for fault in mute(field, f"{path}.{name}")
        ]
        return inner + ([] if schema.get("description") else [path])

    assert mute(published()[event_type], event_type) == []


@pytest.mark.parametrize("event_type", EVENTS)
def test_a_sample_record_is_valid_with_fields_that_nobody_knows_too(event_type: str) -> None:
    newer = envelope(event_type, mood="sunny")
    newer["payload"] = newer["payload"] | {"tip_cents": 5}

    assert faults(event_type, envelope(event_type)) == []
    assert faults(event_type, newer) == []


TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=255)
EMAILS = st.text(string.ascii_letters + "äéß.+", min_size=1, max_size=30).map(lambda name: f" {name}@Example.com ")
CENTS = st.integers(0, 2**53 - 1)
TIMES = st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - hypothesis adds it


def payloads(model: type[Event]) -> st.SearchStrategy[Any]:
    """Return payloads as the backend has them, of which the model takes most."""

    def values(name: str) -> st.SearchStrategy[Any]:
        if name.endswith("email"):
            return EMAILS
        if name == "pass_type":
            return st.sampled_from(["apple", "google"])
        return TIMES if name.endswith("_at") else CENTS if name.endswith("_cents") else TEXTS

    fields = {name: info for name, info in model.model_fields.items() if name != "type"}
    return st.fixed_dictionaries(
        {name: values(name) for name, info in fields.items() if info.is_required()},
        optional={name: values(name) | st.none() for name, info in fields.items() if not info.is_required()},
    )


@given(st.data(), st.sampled_from(sorted(EVENTS)))
def test_whatever_a_model_takes_becomes_a_valid_record(data: st.DataObject, event_type: str) -> None:
    payload = data.draw(payloads(EVENTS[event_type]))
    try:
        event = EVENTS[event_type].model_validate(payload)
    except ValueError:
        return

    assert faults(event_type, envelope(event_type, payload=event.model_dump(mode="json", exclude_none=True))) == []


NUMBERS = ["500", "500.0", "5e2", "0.0", "-0.0", "500.5", "-1", "-1.0", "true", "null", '"500"', "9007199254740991"]
NUMBERS += ["9007199254740991.0", "9007199254740992", "1e300"]


@pytest.mark.parametrize("number", NUMBERS)
def test_schema_and_reader_agree_on_how_jsonb_may_write_a_whole_number(number: str) -> None:
    text = json.dumps(envelope()).replace('"amount_cents": 500', f'"amount_cents": {number}')
    assert f'"amount_cents": {number}' in text

    assert (faults("nova_earned", json.loads(text)) == []) == read(json.loads(text))


BROKEN: dict[str, Callable[[dict[str, Any]], object]] = {
    "no id": lambda record: record.pop("id"),
    "an id that is none": lambda record: record.update(id="seven"),
    "another type": lambda record: record.update(type="nova_redeemed"),
    "a version that is not there yet": lambda record: record.update(schema_version=2),
    "sequence 0": lambda record: record.update(sequence=0),
    "no payload": lambda record: record.update(payload=None),
    "a payload without its time": lambda record: record["payload"].pop("earned_at"),
    "a time without a zone": lambda record: record["payload"].update(earned_at="2026-11-24T03:00:00"),
    "empty text": lambda record: record["payload"].update(session_id=""),
    "long text": lambda record: record["payload"].update(session_id="x" * 256),
    "a contact without email": lambda record: record.update(contact={}),
    "totals in words": lambda record: record["totals"].update(nova_earned_cents="many"),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_what_no_reader_takes_is_not_valid_either(fault: str) -> None:
    broken = copy.deepcopy(envelope())
    BROKEN[fault](broken)

    assert not read(broken)
    assert faults("nova_earned", broken) != []


def changed(change: Callable[[dict[str, Any]], object], version: int = 1) -> dict[str, Any]:
    new = copy.deepcopy(published())
    change(new)
    for name, document in new.items():
        if name != "asyncapi":
            document["properties"]["schema_version"]["const"] = version
    return new


def part(new: dict[str, Any], event_type: str, name: str = "payload") -> Any:
    return new[event_type]["properties"][name]


def field(new: dict[str, Any], event_type: str, name: str) -> Any:
    return part(new, event_type)["properties"][name]


def add_colour(new: dict[str, Any], *, required: bool) -> None:
    part(new, "nova_earned")["properties"]["colour"] = {"type": "string"}
    part(new, "nova_earned")["required"] += ["colour"] if required else []


OTHER = "takes other values than before:"
BREAKING: dict[str, Callable[[dict[str, Any]], object]] = {
    "nova_earned was removed": lambda new: new.pop("nova_earned"),
    "nova_earned.sequence was removed": lambda new: new["nova_earned"]["properties"].pop("sequence"),
    "nova_earned.payload.amount_cents was removed": lambda new: part(new, "nova_earned")["properties"].pop(
        "amount_cents"
    ),
    "nova_earned.totals.nova_earned_cents was removed": lambda new: part(new, "nova_earned", "totals")[
        "properties"
    ].pop("nova_earned_cents"),
    f"nova_earned.payload.amount_cents {OTHER} maximum was 9007199254740991, is 100": lambda new: field(
        new, "nova_earned", "amount_cents"
    ).update(maximum=100),
    f"nova_earned.payload.amount_cents {OTHER} type was integer, is number": lambda new: field(
        new, "nova_earned", "amount_cents"
    ).update(type="number"),
    f"wallet_pass_installed.payload.pass_type {OTHER} enum was ['apple', 'google'], is ['apple']": lambda new: field(
        new, "wallet_pass_installed", "pass_type"
    ).update(enum=["apple"]),
    "nova_earned.payload.colour is new and required": lambda new: add_colour(new, required=True),
    "merchant_contact_created.payload.phone became required": lambda new: part(new, "merchant_contact_created")[
        "required"
    ].append("phone"),
    "nova_earned.contact.email is not always there any more": lambda new: part(new, "nova_earned", "contact").update(
        required=[]
    ),
    "the topic lifecycle.nova_earned became nova": lambda new: new["asyncapi"]["channels"]["nova_earned"].update(
        address="nova"
    ),
    "the topic lifecycle.dead_letters was removed": lambda new: new["asyncapi"]["channels"].pop("dead_letters"),
    "headers.sequence was removed": lambda new: new["asyncapi"]["components"]["schemas"]["headers"]["properties"].pop(
        "sequence"
    ),
}


@pytest.mark.parametrize("fault", BREAKING)
def test_a_breaking_change_is_named_unless_the_version_rises(fault: str) -> None:
    assert breaks(published(), changed(BREAKING[fault])) == [fault]
    assert breaks(published(), changed(BREAKING[fault], version=2)) == []


def test_a_version_never_falls() -> None:
    assert breaks(changed(lambda _: None, version=2), published()) == ["schema_version fell from 2 to 1"]


def test_a_new_event_a_new_optional_field_and_better_words_break_nobody() -> None:
    def add(new: dict[str, Any]) -> None:
        new["charger_rated"] = copy.deepcopy(new["nova_earned"])
        add_colour(new, required=False)
        field(new, "nova_earned", "amount_cents")["description"] = "Say it better"

    assert breaks(published(), changed(add)) == []
