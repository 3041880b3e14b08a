"""`python -m hubspot_consumer dead-letters mend`: it shows the faults of payloads, and stores corrections."""

import json
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Annotated, Any

import typer

from hubspot_consumer.cli import options
from hubspot_consumer.cli.dead_letters.show import MOST_CHARACTERS, printable, whose
from hubspot_consumer.cli.exit_codes import NotDone
from hubspot_consumer.cli.lookup import letters_of, look, resolve
from hubspot_consumer.cli.options import Yes, agreed, can_ask
from hubspot_consumer.dead_letters.catalogue import DeadLetterCatalogue
from hubspot_consumer.dead_letters.corrections import (
    PREFIX,
    Changes,
    Correction,
    NotCorrectable,
    changes_of,
    document_of,
    faults,
    mended,
    suggested_changes,
)
from hubspot_consumer.dead_letters.dead_letter import Letter
from hubspot_consumer.dead_letters.resolutions import Mended
from hubspot_consumer.settings import KafkaSettings
from runtime.commands import read_settings, refuse
from schemas.contacts import shortened


@dataclass(frozen=True)
class _Proposed:
    """The proposed changes of one dead letter, its faults before them, and its remaining faults after them."""

    letter: Letter
    value: bytes
    changes: Changes
    before: Sequence[str]
    after: Sequence[str]

    def as_json(self) -> dict[str, Any]:
        return {
            "id": self.letter.id,
            "type": self.letter.event_type,
            "faults": self.before,
            "faults_after": self.after,
            "readable": not self.after,
            "changes": self.changes.model_dump(mode="json"),
            "was": {name: _shown(self._payload[name]) for name in self._changed if name in self._payload},
        }

    @cached_property
    def _payload(self) -> Mapping[str, Any]:
        payload: Mapping[str, Any] = (document_of(self.value) or {"payload": {}})["payload"]
        return payload

    @property
    def _changed(self) -> Iterable[str]:
        return (*self.changes.unset, *self.changes.values)

    def lines(self) -> Iterator[str]:
        yield f"dead letter {self.letter.id}, {printable(self.letter.event_type or '-')} of {whose(self.letter)}"
        yield from (f"  wrong      {fault}" for fault in self.before)
        for name in self.changes.unset:
            yield f"  - {PREFIX}{printable(name)}: {_shown(self._payload.get(name))}"
        for name, value in self.changes.values.items():
            if name in self._payload:
                yield f"  - {PREFIX}{name}: {_shown(self._payload[name])}"
            yield f"  + {PREFIX}{name}: {_shown(value)}"
        yield from (f"  remains    {fault}" for fault in self.after)
        yield "  then it can be read" if not self.after else "  then it still can't be read"

    def resolution(self, note: str) -> Mended:
        return Mended(
            at=datetime.now(UTC),
            mend=Correction(values=self.changes.values, unset=self.changes.unset, note=note),
            reason=self.letter.reason,
            detail=self.letter.detail,
            attempts=self.letter.attempts,
            failed_at=self.letter.failed_at,
        )


def mend(  # noqa: PLR0913 - the options of the command
    ids: Annotated[list[str], typer.Argument(help="Ids of `list`, such as 0-17.")],
    *,
    change: Annotated[
        list[str] | None,
        typer.Option("--set", help="payload.FIELD=VALUE: the new value of a field; may be repeated."),
    ] = None,
    unset: Annotated[
        list[str] | None, typer.Option(help="payload.FIELD: leave the field out; may be repeated.")
    ] = None,
    suggested: Annotated[
        bool, typer.Option("--suggested", help="Use the values that each event suggests: see --dry-run.")
    ] = False,
    note: Annotated[str, typer.Option(help="Why the correction is right; kept with it.")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show the difference, and whether it can be read then.")
    ] = False,
    yes: Yes = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a line of JSON for each.")] = False,
) -> None:
    """Correct the payload of dead letters: fields that are missing, misspelled or wrong.

    The record stays as it is. The correction is stored beside it, and every later redrive, replay, resync and audit
    reads the event with it. The dead letter stays open until it is redriven. A new correction replaces the old one, and
    discarding the dead letter drops it. Only fields of the payload can be corrected, and none that names a person,
    because corrections are kept for ever.

    --suggested gives misspelled fields their right name, and missing times the time when the event occurred.

    Exits with 1 if one of the dead letters is not open, or still can't be read; then none is corrected.
    """
    settings = read_settings(KafkaSettings)
    values = dict(_field_and_value(each) for each in change or ())
    left_out = tuple(_field("--unset", each) for each in unset or ())
    if bool(values or left_out) == suggested:
        refuse("give the correction: --set and --unset, or --suggested")
    note = options.note("--note", note, "say why the correction is right; it is kept with it")
    can_ask(needed=not (yes or dry_run))

    async def corrected(catalogue: DeadLetterCatalogue) -> None:
        letters = letters_of(catalogue, ids)
        if resolved := [f"{letter.id} is {letter.state}" for letter in letters if not letter.is_open]:
            raise NotDone(f"only open dead letters can be mended: {', '.join(resolved)}")
        proposed = [each async for each in _proposed(catalogue, letters, values, left_out)]
        for each in proposed:
            print(json.dumps(each.as_json()) if as_json else "\n".join(each.lines()))
        if gone := [letter.id for letter in letters if letter.id not in {each.letter.id for each in proposed}]:
            raise NotDone(f"Kafka has deleted it: {', '.join(gone)}")
        if any(each.after for each in proposed):
            raise NotDone("nothing was mended: faults remain")
        words = "nothing was mended" + (": it was a dry run" if dry_run else "")
        if not dry_run and agreed(f"Mend {len(proposed):,}?", yes=yes):
            await resolve(settings, [([each.letter], each.resolution(note)) for each in proposed])
            words = f"{len(proposed):,} mended: `redrive` lets them take effect"
        if not as_json:
            print(words)

    look(settings, corrected, "mend")


async def _proposed(
    catalogue: DeadLetterCatalogue, letters: Sequence[Letter], values: dict[str, str], unset: tuple[str, ...]
) -> AsyncIterator[_Proposed]:
    async for letter, read in catalogue.values(letters):
        value = read or b""
        try:
            changes = changes_of(value, values, unset) if values or unset else suggested_changes(value)
        except NotCorrectable as error:
            raise NotDone(f"{letter.id}: {error}") from None
        if changes is None:
            raise NotDone(f"{letter.id}: the event suggests no correction: use --set and --unset")
        yield _Proposed(letter, value, changes, faults(letter.key, value), faults(letter.key, mended(value, changes)))


def _field_and_value(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        refuse(f"--set: {text!r} has no value: payload.FIELD=VALUE")
    return _field("--set", name), value


def _field(option: str, name: str) -> str:
    field = name.removeprefix(PREFIX)
    if field == name or not field:
        refuse(
            f"{option}: {name!r}: give payload.FIELD: the id, type, sequence, contact and totals of an event can't be "
            "corrected"
        )
    return field


def _shown(value: Any) -> str:
    return printable(shortened(json.dumps(value, ensure_ascii=False), MOST_CHARACTERS))
