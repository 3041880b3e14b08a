"""Signing in, with a token, and out."""

from typing import Annotated
from urllib.parse import urlsplit

from fastapi import APIRouter, Form, Request
from fastapi.responses import RedirectResponse, Response

from console.web.access import SIGN_IN, SIGN_OUT, Access
from console.web.sessions import Session, Sessions
from console.web.view import View


def sign_in_pages(view: View, access: Access, sessions: Sessions) -> APIRouter:
    """Return its routes."""
    router = APIRouter()

    @router.get(SIGN_IN)
    async def page(request: Request, after: str = "/") -> Response:
        if request.state.person is not None:
            return RedirectResponse(_of_ours(after), status_code=303)
        return view.page(request, "sign_in.html", after=_of_ours(after), wrong=False, takes_tokens=access.takes_tokens)

    @router.post(SIGN_IN)
    async def sign_in(
        request: Request, token: Annotated[str, Form()] = "", after: Annotated[str, Form()] = "/"
    ) -> Response:
        session = access.sign_in(token)
        if session is None:
            return view.page(
                request, "sign_in.html", 403, after=_of_ours(after), wrong=True, takes_tokens=access.takes_tokens
            )
        request.state.session = session
        return RedirectResponse(_of_ours(after), status_code=303)

    @router.post(SIGN_OUT)
    async def sign_out(request: Request) -> Response:
        session: Session = request.state.session
        sessions.end(session)
        request.state.session = sessions.begin()
        return RedirectResponse(SIGN_IN, status_code=303)

    return router


def _of_ours(after: str) -> str:
    """Return where to go on: a path of ours, whatever somebody put into the link."""
    try:
        parts = urlsplit(after)
    except ValueError:
        return "/"
    ours = not parts.scheme and not parts.netloc and after.startswith("/") and not after.startswith(("//", "/\\"))
    return after if ours and after.isprintable() else "/"
