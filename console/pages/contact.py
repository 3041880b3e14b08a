"""The contact page: the state of each event of a contact, and a comparison with the remote contact."""

from typing import Annotated, Final

from fastapi import APIRouter, HTTPException, Query, Request, Response

from console.contacts.history import LATEST
from console.contacts.index import IndexAway
from console.contacts.present import NotCompared, PresentState
from console.contacts.search import Search
from console.pages.runs import RunStarter
from console.runs.run import Kind
from console.web.forms import Form
from console.web.view import View
from schemas.contacts import LONGEST_EMAIL, ContactKey, contact_hash, contact_key

# The length limit is generous for what people paste; no email or external id is longer.
Words = Annotated[str, Query(max_length=4 * LONGEST_EMAIL)]
Sequence = Annotated[int, Query(ge=1, le=LATEST)]
STATES: Final = {
    "outbox": ("in the outbox, not published yet", "warn"),
    "waiting": ("on Kafka, waiting", "warn"),
    "unknown": ("on Kafka; it may have ended: Kafka does not say", "warn"),
    "acked": ("finished by a worker; no receipt says how", ""),
    "delivered": ("delivered", "good"),
    "dead_letter": ("dead letter", "bad"),
    "redriven": ("redriven dead letter", "good"),
    "discarded": ("dead letter, discarded", ""),
    "suppressed": ("not sent: the contact is suppressed", ""),
}


def contact_pages(view: View, search: Search, present: PresentState, starter: RunStarter) -> APIRouter:
    """Return the page's routes. Only the fragment `/contacts/present` calls HubSpot, so the page never waits for it."""
    router = APIRouter()

    @router.get("/contacts")
    async def page(request: Request, q: Words = "", before: Sequence = LATEST) -> Response:
        found = await search.find(q, before) if q.strip() else None
        return view.page(
            request,
            "contact.html",
            found=found,
            state=search.state(),
            states=STATES,
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


def _contact(words: str) -> ContactKey:
    try:
        return contact_key(words)
    except ValueError as why:
        raise HTTPException(400, f"not a contact: {why}") from why
