"""Association specifications: how the input of a new record names the records that it is associated with."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from sandbox.hubspot.http.calls import as_object, as_objects, not_set, required_text


class Association(NamedTuple):
    """One association of a new record: the id of the other record, and the category and id of its type."""

    to_id: str
    category: str
    type_id: str


def read_associations(body: Mapping[str, Any]) -> list[Association]:
    """Return the associations of an input. Raises Refused if one lacks what the specification requires."""
    found: list[Association] = []
    for association in as_objects(body.get("associations")):
        to_id = required_text(as_object(association.get("to")), "id")
        types = as_objects(association.get("types"))
        if not types:
            raise not_set(["types"])
        found += [
            Association(to_id, required_text(kind, "associationCategory"), required_text(kind, "associationTypeId"))
            for kind in types
        ]
    return found
