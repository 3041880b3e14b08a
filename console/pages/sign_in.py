"""The sign-in page: signing in with a token, and signing out."""

from typing import Annotated
from urllib.parse import urlsplit

from fastapi import APIRouter, Form, Request
from fastapi.responses import RedirectResponse, Response

from console.web.access import SIGN_IN, SIGN_OUT, Access
from console.web.sessions import Sessions
from console.web.view import View


def sign_in_pages(view: View, access: Access, sessions: Sessions) -> APIRouter:
    """Return the page's routes."""
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
        sessions.end(request.state.session)
        request.state.session = sessions.begin()
        return RedirectResponse(SIGN_IN, status_code=303)

    return router


def _of_ours(after: str) -> str:
    """Return *after* if it is a path of the console, else `/`: a link to sign in must not lead to another site."""
    try:
        parts = urlsplit(after)
    except ValueError:
        return "/"
    ours = not parts.scheme and not parts.netloc and after.startswith("/") and not after.startswith(("//", "/\\"))
    return after if ours and after.isprintable() else "/"
