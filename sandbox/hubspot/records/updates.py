"""Updates: the effect of a write on a contact's values. Not every accepted value takes effect."""

from collections.abc import Mapping

from sandbox.hubspot.schema.properties import Schema

STAGE = "lifecyclestage"


def effective(schema: Schema, held: Mapping[str, str], written: Mapping[str, str]) -> Mapping[str, str]:
    """Return the values that take effect: an earlier lifecycle stage is dropped, `;a` is appended to the old value."""
    kept: dict[str, str] = {}
    if STAGE in written and _goes_backwards(schema, held.get(STAGE, ""), written[STAGE]):
        kept = {name: value for name, value in written.items() if name != STAGE}
        written = kept
    appended = {name: _appended(held.get(name, ""), value) for name, value in written.items() if value[:1] == ";"}
    appended = {name: value for name, value in appended.items() if schema.takes_several(name)}
    return {**written, **appended} if appended else written


def furthest_stage(schema: Schema, one: str, other: str) -> str:
    """Return the later of two stages."""
    return one if _goes_backwards(schema, one, other) else other or one


def _goes_backwards(schema: Schema, held: str, written: str) -> bool:
    """Return whether the stage *written* comes before *held*. Clearing the stage does not count as a step back."""
    stages = schema.stages()
    if held not in stages or written not in stages:
        return False
    return stages.index(written) < stages.index(held)


def _appended(held: str, value: str) -> str:
    return ";".join(dict.fromkeys(option for option in f"{held}{value}".split(";") if option))
