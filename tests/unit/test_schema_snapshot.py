"""A change of the events that breaks their readers is refused until the schema version rises."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from tests.unit.snapshot import Snapshot, breaks, present, recorded

TEXT = {"required": True, "schema": {"type": "string"}}


def test_the_models_are_those_of_the_snapshot() -> None:
    assert breaks(recorded(), present()) == [], "readers would break: raise SCHEMA_VERSION"
    assert recorded() == present(), "a compatible change: accept it with `make snapshot`"


def changed(change: Callable[[dict[str, Any]], object], version: int = 1) -> Snapshot:
    new = copy.deepcopy(recorded())
    change(new["models"])
    return new | {"schema_version": version}


BREAKING: dict[str, Callable[[dict[str, Any]], object]] = {
    "nova_earned was removed": lambda models: models.pop("nova_earned"),
    "nova_earned.amount_cents was removed": lambda models: models["nova_earned"].pop("amount_cents"),
    "nova_earned.amount_cents was retyped": lambda models: models["nova_earned"].update(amount_cents=TEXT),
    "nova_earned.colour is new and required": lambda models: models["nova_earned"].update(colour=TEXT),
    "merchant_contact_created.phone became required": lambda models: models["merchant_contact_created"].update(
        phone=models["merchant_contact_created"]["phone"] | {"required": True}
    ),
    "contact.email is not always there any more": lambda models: models["contact"].update(
        email=models["contact"]["email"] | {"required": False}
    ),
    "envelope.sequence was removed": lambda models: models["envelope"].pop("sequence"),
    "totals.nova_earned_cents was removed": lambda models: models["totals"].pop("nova_earned_cents"),
}


@pytest.mark.parametrize("fault", BREAKING)
def test_a_breaking_change_is_named_unless_the_version_rises(fault: str) -> None:
    assert breaks(recorded(), changed(BREAKING[fault])) == [fault]
    assert breaks(recorded(), changed(BREAKING[fault], version=2)) == []


def test_a_new_event_and_a_new_optional_field_break_nobody() -> None:
    def add(models: dict[str, Any]) -> None:
        models["charger_rated"] = {"stars": TEXT}
        models["nova_earned"]["colour"] = TEXT | {"required": False}

    assert breaks(recorded(), changed(add)) == []
    assert changed(add) != recorded()
