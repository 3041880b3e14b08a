"""What operators do with dead letters: redrive, discard and correct them."""

import re
from datetime import UTC
from typing import Final

from fastapi import APIRouter, HTTPException, Request, Response

from console.dead_letters.cache import LettersReader
from console.dead_letters.correction_form import OUT
from console.dead_letters.selection import Chosen, PageFilter
from console.pages.dead_letters import MOST_SHOWN, filter_of, read_letter
from console.pages.runs import RunStarter, words_of
from console.runs.run import Kind
from console.web.forms import Form

# The longest `name=value` of a corrected field: it becomes an argument of a command, whose length is limited.
LONGEST_VALUE: Final = 4_000
_ID: Final = re.compile(r"[0-9]{1,10}-[0-9]{1,19}")


def dead_letter_actions(reader: LettersReader, starter: RunStarter) -> APIRouter:
    """Return the routes of the actions."""
    router = APIRouter()

    @router.post("/dead-letters/redrive")
    async def redrive(request: Request) -> Response:
        form: Form = request.state.form
        chosen = _chosen(form)
        which = [f"--id={each}" for each in chosen.ids] or chosen.filtered.options
        live = form.get("live") == "yes"
        arguments = ["redrive", *which, "--yes" if live else "--dry-run", "--json", "--progress=json"]
        return await starter.start(request, "redrive" if live else "redrive_plan", arguments, chosen.fields)

    @router.post("/dead-letters/discard")
    async def discard(request: Request) -> Response:
        form: Form = request.state.form
        chosen, why = _chosen(form), words_of("why", form.get("why"))
        if not why:
            raise HTTPException(400, "say why the dead letters must not take effect")
        which = chosen.ids or chosen.filtered.options
        if not which:
            raise HTTPException(400, "narrow the filter first: not all dead letters are discarded at once")
        how = ["--yes"] if chosen.ids else ["--dry-run", "--json"]
        arguments = ["dead-letters", "discard", *which, f"--why={why}", *how]
        kind: Kind = "discard" if chosen.ids else "discard_plan"
        return await starter.start(request, kind, arguments, {**chosen.fields, "why": why})

    @router.post("/dead-letters/discard/planned")
    async def discard_planned(request: Request) -> Response:
        planned = starter.runs.of(request.state.form.get("plan", ""))
        if planned is None or planned.asked.kind != "discard_plan":
            raise HTTPException(400, "look at a plan first: it shows what will be discarded")
        # What is set aside after the plan was shown to nobody.
        until = f"--until={planned.asked.began.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"
        arguments = [each for each in planned.asked.arguments if each != "--dry-run"]
        return await starter.start(request, "discard", [*arguments, until, "--yes"], planned.asked.form)

    @router.post("/dead-letters/{letter_id}/mend")
    async def mend(request: Request, letter_id: str) -> Response:
        form: Form = request.state.form
        letter, _, fields = await read_letter(reader, letter_id)
        note, live = words_of("note", form.get("note")), form.get("live") == "yes"
        changes = fields.arguments(form, form.getlist(OUT)) if fields else []
        for change in changes:
            words_of("a field", change, LONGEST_VALUE)
        if not (note and changes):
            raise HTTPException(400, "change a field, and say why")
        how = "--yes" if live else "--dry-run"
        arguments = ["dead-letters", "mend", letter.id, *changes, f"--note={note}", how, "--json"]
        asked = {"ids": [letter.id], "changes": changes, "note": note, "reason": letter.reason}
        return await starter.start(request, "mend" if live else "mend_plan", arguments, asked)

    return router


def _chosen(form: Form) -> Chosen:
    """Return what a form chooses: all that its filter finds, if it says so, or else the ids that it names."""
    if form.get("all") == "yes":
        asked = PageFilter.of(form)
        for name, words in asked.fields.items():
            words_of(name, words)
        filter_of(asked)
        if asked.can_act:
            return Chosen(filtered=asked)
    elif ids := _ids(form):
        return Chosen(ids)
    raise HTTPException(400, "select some open dead letters")


def _ids(form: Form) -> list[str]:
    # An id that begins with a dash would be read as an option.
    return [each for each in form.getlist("id") if _ID.fullmatch(each)][:MOST_SHOWN]
