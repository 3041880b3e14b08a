"""The dead-letter pages: lists, details, and the actions redrive, correction and discard."""

import asyncio
import re
from typing import Any, Final

from fastapi import APIRouter, HTTPException, Request, Response

from console.dead_letters.cache import LettersReader, NotRead
from console.dead_letters.correction_form import OUT, CorrectionForm, mending_form
from console.pages.runs import RunStarter, words_of
from console.web.forms import Form
from console.web.view import View, pretty
from hubspot_consumer.cli.gates import LONGEST_WORDS
from hubspot_consumer.dead_letters.dead_letter import Letter, LetterFilter
from hubspot_consumer.dead_letters.remedies import remedy
from hubspot_consumer.dead_letters.resolutions import OPEN, State
from runtime.clock import Clock
from schemas.contacts import contact_key
from schemas.events import EVENT_TYPES

MOST_SHOWN: Final = 200
MOST_RUNS: Final = 10
# The longest `name=value` of a corrected field: it becomes an argument of a command, whose length is limited.
LONGEST_VALUE: Final = 4_000
_ID: Final = re.compile(r"[0-9]{1,10}-[0-9]{1,19}")
STATES: Final[dict[str, frozenset[State]]] = {
    "open": OPEN,
    "mended": frozenset({"mended"}),
    "redriven": frozenset({"redriven"}),
    "discarded": frozenset({"discarded"}),
    "all": OPEN | {"redriven", "discarded"},
}


def dead_letter_pages(view: View, reader: LettersReader, starter: RunStarter, clock: Clock) -> APIRouter:
    """Return the pages' routes."""
    router = APIRouter()

    @router.get("/dead-letters")
    async def page(request: Request, reason: str = "", type: str = "", q: str = "", state: str = "open") -> Response:  # noqa: A002 - the name of a query parameter
        asked = {"reason": reason, "type": type, "q": q, "state": state}
        around: dict[str, Any] = {
            "asked": asked,
            "states": STATES,
            "types": EVENT_TYPES,
            "most": MOST_SHOWN,
            "longest": LONGEST_WORDS,
            "runs": starter.runs.all("redrive", "mend", "discard")[:MOST_RUNS],
        }
        try:
            letters = await reader.letters()
            which = _which(asked)
        except (NotRead, ValueError) as why:
            return view.page(request, "dead_letters.html", trouble=str(why), shown=[], found=0, at=None, **around)
        # The filter looks at each dead letter's contact: in a thread, it does not block other pages.
        found, shown = await asyncio.to_thread(letters.shelves.newest, which, MOST_SHOWN)
        return view.page(
            request,
            "dead_letters.html",
            trouble=letters.read_again and "Reading takes long: these are from an earlier reading.",
            groups=letters.shelves.groups,
            now=clock.now(),
            shown=shown,
            found=found,
            at=letters.at,
            **around,
        )

    @router.get("/dead-letters/{letter_id}")
    async def one(request: Request, letter_id: str) -> Response:
        letter, record, form = await _read(reader, letter_id)
        return view.page(
            request,
            "dead_letter.html",
            letter=letter,
            remedy=remedy(letter.reason, letter.detail),
            longest=LONGEST_WORDS,
            value=_shown(record.value if record is not None else None),
            headers=[(name, (each or b"").decode(errors="replace")) for name, each in record.headers] if record else [],
            form=form,
        )

    @router.post("/dead-letters/redrive")
    async def redrive(request: Request) -> Response:
        form: Form = request.state.form
        which, asked = _chosen(form)
        live = form.get("live") == "yes"
        arguments = ["redrive", *which, "--yes" if live else "--dry-run", "--json", "--progress=json"]
        return await starter.start(request, "redrive" if live else "redrive_plan", arguments, asked)

    @router.post("/dead-letters/discard")
    async def discard(request: Request) -> Response:
        form: Form = request.state.form
        ids, why = _ids(form), words_of("why", form.get("why"))
        if not (ids and why):
            raise HTTPException(400, "select dead letters, and say why they must not take effect")
        arguments = ["dead-letters", "discard", *ids, f"--why={why}", "--yes"]
        return await starter.start(request, "discard", arguments, {"ids": ids, "why": why})

    @router.post("/dead-letters/{letter_id}/mend")
    async def mend(request: Request, letter_id: str) -> Response:
        form: Form = request.state.form
        letter, _, fields = await _read(reader, letter_id)
        note, live = words_of("note", form.get("note")), form.get("live") == "yes"
        changes = fields.arguments(form, form.getlist(OUT)) if fields else []
        for change in changes:
            words_of("a field", change, LONGEST_VALUE)
        if not (note and changes):
            raise HTTPException(400, "change a field, and say why")
        how = "--yes" if live else "--dry-run"
        arguments = ["dead-letters", "mend", letter.id, *changes, f"--note={note}", how, "--json"]
        asked = {"ids": [letter.id], "changes": changes, "note": note}
        return await starter.start(request, "mend" if live else "mend_plan", arguments, asked)

    return router


async def _read(reader: LettersReader, letter_id: str) -> tuple[Letter, Any, CorrectionForm | None]:
    """Return a dead letter, its record, and its form if it can be corrected. Raises HTTPException."""
    try:
        found = await reader.of_id(letter_id)
    except NotRead as why:
        raise HTTPException(503, str(why)) from why
    if found is None:
        raise HTTPException(404, f"there is no dead letter {letter_id}")
    letter, record = found
    form = mending_form(letter, record.value) if record is not None and record.value and letter.is_open else None
    return letter, record, form


def _which(asked: dict[str, str]) -> LetterFilter:
    """Return the filter of a form. Raises ValueError if the contact is no email."""
    return LetterFilter(
        reasons=frozenset(filter(None, [asked["reason"]])),
        event_types=frozenset(filter(None, [asked["type"]])),
        contact=contact_key(asked["q"]) if asked["q"].strip() else None,
        states=STATES.get(asked["state"], OPEN),
    )


def _chosen(form: Form) -> tuple[list[str], dict[str, Any]]:
    """Return the command options that select dead letters, and the form fields that select them."""
    ids, reason = _ids(form), words_of("reason", form.get("reason"))
    if ids:
        return [f"--id={each}" for each in ids], {"ids": ids}
    if reason:
        return [f"--reason={reason}"], {"reason": reason}
    raise HTTPException(400, "select some dead letters")


def _ids(form: Form) -> list[str]:
    # An id that begins with a dash would be read as an option.
    return [each for each in form.getlist("id") if _ID.fullmatch(each)][:MOST_SHOWN]


def _shown(value: bytes | None) -> str:
    if value is None:
        return "none: it did not fit beside the headers; the original record still has it"
    return pretty(value, where_whole=": `dead-letters export` has all of them")
