"""The dead-letter pages: the list, its export, and the details of each."""

import asyncio
from datetime import UTC
from typing import Any, Final

from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.responses import StreamingResponse

from console.dead_letters.cache import DeadLetterCache, LettersReader, NotRead
from console.dead_letters.correction_form import CorrectionForm, mending_form
from console.dead_letters.csv_export import lines
from console.dead_letters.difference import differences_of
from console.dead_letters.selection import STATES, PageFilter, cursor_of, read_cursor
from console.pages.runs import RunStarter, without_emails_of
from console.web.view import View, pretty
from hubspot_consumer.cli.gates import LONGEST_WORDS
from hubspot_consumer.dead_letters.dead_letter import Letter, LetterFilter
from hubspot_consumer.dead_letters.remedies import remedy
from runtime.clock import Clock
from schemas.events import EVENT_TYPES

MOST_SHOWN: Final = 200
MOST_RUNS: Final = 10


def dead_letter_pages(view: View, reader: LettersReader, starter: RunStarter, clock: Clock) -> APIRouter:
    """Return the pages' routes."""
    router = APIRouter()

    @router.get("/dead-letters")
    async def page(request: Request, before: str = "") -> Response:
        asked = PageFilter.of(request.query_params)
        around: dict[str, Any] = {
            "asked": asked,
            "states": STATES,
            "types": EVENT_TYPES,
            "longest": LONGEST_WORDS,
            "runs": starter.runs.all("redrive", "mend", "discard")[:MOST_RUNS],
        }
        try:
            letters, which = await reader.letters(), asked.which()
        except (NotRead, ValueError) as why:
            return view.page(request, "dead_letters.html", trouble=str(why), listed=None, at=None, **around)
        # The filter looks at each dead letter's contact: in a thread, it does not block other pages.
        listed = await asyncio.to_thread(letters.shelves.page, which, MOST_SHOWN, read_cursor(before))
        end = listed.newer + len(listed.letters)
        return view.page(
            request,
            "dead_letters.html",
            trouble=letters.read_again and "Reading takes long: these are from an earlier reading.",
            groups=letters.shelves.groups,
            now=clock.now(),
            listed=listed,
            end=end,
            older=cursor_of(listed.letters[-1]) if end < listed.found else "",
            at=letters.at,
            **around,
        )

    @router.get("/dead-letters.csv")
    async def export(request: Request) -> Response:
        return _as_csv(await _known(reader), filter_of(PageFilter.of(request.query_params)), reveal=False)

    @router.post("/dead-letters/export")
    async def export_with_emails(request: Request) -> Response:
        asked = PageFilter.of(request.state.form)
        letters, which = await _known(reader), filter_of(asked)
        # A file with the emails of all contacts leaves the console, so it stays known who took it.
        async with starter.actions.action(request, "export", **without_emails_of(asked.fields)):
            return _as_csv(letters, which, reveal=True)

    @router.get("/dead-letters/{letter_id}")
    async def one(request: Request, letter_id: str) -> Response:
        letter, record, form = await read_letter(reader, letter_id)
        value = record.value if record is not None else None
        return view.page(
            request,
            "dead_letter.html",
            letter=letter,
            remedy=remedy(letter.reason, letter.detail),
            longest=LONGEST_WORDS,
            differences=differences_of(letter, value),
            value=_shown(value),
            headers=[(name, (each or b"").decode(errors="replace")) for name, each in record.headers] if record else [],
            form=form,
        )

    return router


async def read_letter(reader: LettersReader, letter_id: str) -> tuple[Letter, Any, CorrectionForm | None]:
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


async def _known(reader: LettersReader) -> DeadLetterCache:
    try:
        return await reader.letters()
    except NotRead as why:
        raise HTTPException(503, str(why)) from why


def filter_of(asked: PageFilter) -> LetterFilter:
    try:
        return asked.which()
    except ValueError as why:
        raise HTTPException(400, f"not a contact: {why}") from why


def _as_csv(letters: DeadLetterCache, which: LetterFilter, *, reveal: bool) -> Response:
    name = f"dead-letters-{letters.at.astimezone(UTC):%Y%m%dT%H%M%SZ}.csv"
    return StreamingResponse(
        lines(letters.shelves.all(which), reveal=reveal),
        media_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


def _shown(value: bytes | None) -> str:
    if value is None:
        return "none: it did not fit beside the headers; the original record still has it"
    return pretty(value, where_whole=": `dead-letters export` has all of them")
