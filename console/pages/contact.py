"""The contact page: the state of each event of a contact, and a comparison with the remote contact."""

from typing import Annotated, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, HTTPException, Query, Request, Response

from console.contacts import wording
from console.contacts.balance_chart import balance_chart
from console.contacts.filters import Filter, StateGroup
from console.contacts.history import LATEST
from console.contacts.index import IndexAway
from console.contacts.present import NotCompared, PresentState
from console.contacts.search import Search
from console.pages.runs import RunStarter
from console.runs.run import Kind
from console.web.forms import Form
from console.web.view import View
from schemas.contacts import LONGEST_EMAIL, ContactKey, contact_hash, contact_key
from schemas.texts import LONGEST_NAME

# The length limit is generous for what people paste; no email or external id is longer.
Words = Annotated[str, Query(max_length=4 * LONGEST_EMAIL)]
Sequence = Annotated[int, Query(ge=1, le=LATEST)]
Type = Annotated[str, Query(alias="type", max_length=LONGEST_NAME)]
State = Annotated[StateGroup | Literal[""], Query(alias="state")]


def contact_pages(view: View, search: Search, present: PresentState, starter: RunStarter) -> APIRouter:
    """Return the page's routes. Only the fragment `/contacts/present` calls HubSpot, so the page never waits for it."""
    router = APIRouter()

    @router.get("/contacts")
    async def page(
        request: Request, q: Words = "", before: Sequence = LATEST, event_type: Type = "", group: State = ""
    ) -> Response:
        wanted = Filter(event_type, group)
        found = await search.find(q, before, wanted) if q.strip() else None
        shown = found.shown if found is not None else None
        return view.page(
            request,
            "contact.html",
            found=found,
            parked=[each for each in found.parked if wanted.takes(each)] if found is not None else (),
            chart=balance_chart(shown.history.events) if shown is not None else None,
            wanted=wanted,
            state=search.state(),
            wording=wording,
            address=address,
            link=present.link,
            can_ask=present.can_ask,
        )

    @router.get("/contacts/present")
    async def beside_hubspot(request: Request, key: Words) -> Response:
        state, asked = search.state(), _contact(key)
        try:
            compared, why = await present.compare(asked, state.acked or {}), None
        except (NotCompared, IndexAway) as error:
            compared, why = None, str(error)
        return view.page(
            request, "contact_present.html", key=asked, compared=compared, why=why, state=state, link=present.link
        )

    @router.post("/contacts/resync")
    async def resync(request: Request) -> Response:
        form: Form = request.state.form
        live = form.get("live") == "yes"
        key = _contact(form.get("contact", ""))
        # An email may begin with a dash: `--` ends the options.
        options = ["--progress=json", *(() if live else ("--dry-run",)), "--"]
        kind: Kind = "resync" if live else "resync_plan"
        asked = {"contact": key, "contact_hash": contact_hash(key)}
        return await starter.start(request, kind, ["resync", *options, key], asked)

    return router


def address(contact: str, **asked: object) -> str:
    """Return the address of a contact's page, with the parts of *asked* that are not empty."""
    return f"/contacts?{urlencode({'q': contact, **{name: each for name, each in asked.items() if each}})}"


def _contact(words: str) -> ContactKey:
    try:
        return contact_key(words)
    except ValueError as why:
        raise HTTPException(400, f"not a contact: {why}") from why
