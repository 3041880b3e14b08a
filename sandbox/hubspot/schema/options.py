"""Options: the values of a property from which people and calls choose."""

from collections.abc import Sequence
from typing import Any, Final

from sandbox.hubspot.http.answers import invalid
from sandbox.hubspot.http.calls import as_object, as_text, not_set

REQUIRED: Final = ("label", "value", "displayOrder", "hidden")


def check_options(kind: str, options: Sequence[Any]) -> None:
    """Raises Refused for options that a property of the type *kind* can not have."""
    for option in map(as_object, options):
        if missing := [name for name in REQUIRED if option.get(name) in (None, "")]:
            raise not_set(missing)
    values = [as_text(option["value"]) for option in options]
    if kind == "bool" and sorted(values) != ["false", "true"]:
        raise invalid(
            "A boolean property has exactly the options true and false.",
            errors=[{"message": "A boolean property has exactly two options.", "code": "INVALID_BOOLEAN_OPTION"}],
        )
    if kind == "enumeration" and not values:
        raise invalid("A property of the type enumeration needs options.")
    if len(set(values)) != len(values):
        raise invalid("Property option values must be unique.")
