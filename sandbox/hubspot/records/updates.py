"""Updates: what a write makes of the values that a contact holds. Not every value that is taken takes effect."""

from collections.abc import Mapping

from sandbox.hubspot.schema.properties import Schema

STAGE = "lifecyclestage"


def effective(schema: Schema, held: Mapping[str, str], written: Mapping[str, str]) -> Mapping[str, str]:
    """Return the values that a write leaves: a stage that went backwards is left out, `;a` is added to what is held."""
    kept: dict[str, str] = {}
    if STAGE in written and _goes_backwards(schema, held.get(STAGE, ""), written[STAGE]):
        kept = {name: value for name, value in written.items() if name != STAGE}
        written = kept
    appended = {name: _appended(held.get(name, ""), value) for name, value in written.items() if value[:1] == ";"}
    appended = {name: value for name, value in appended.items() if schema.takes_several(name)}
    return {**written, **appended} if appended else written


def furthest_stage(schema: Schema, one: str, other: str) -> str:
    """Return the stage that is further on."""
    return one if _goes_backwards(schema, one, other) else other or one


def _goes_backwards(schema: Schema, held: str, written: str) -> bool:
    """Return whether a stage comes before the one that is held. Clearing it is no step back."""
    stages = schema.stages()
    if held not in stages or written not in stages:
        return False
    return stages.index(written) < stages.index(held)


def _appended(held: str, value: str) -> str:
    return ";".join(dict.fromkeys(option for option in f"{held}{value}".split(";") if option))
