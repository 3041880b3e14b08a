"""The sign-in page: signing in with a token, and signing out."""

import math
from urllib.parse import urlsplit

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from console.web.access import SIGN_IN, SIGN_OUT, Access
from console.web.attempts import TooManyAttempts
from console.web.forms import Form
from console.web.sessions import Sessions
from console.web.view import View


def sign_in_pages(view: View, access: Access, sessions: Sessions) -> APIRouter:
    """Return the page's routes."""
    router = APIRouter()

    def ask(request: Request, after: str, why: str = "", status: int = 200) -> Response:
        takes_tokens = access.takes_tokens
        return view.page(request, "sign_in.html", status, after=_of_ours(after), wrong=why, takes_tokens=takes_tokens)

    @router.get(SIGN_IN)
    async def page(request: Request, after: str = "/") -> Response:
        if request.state.person is not None:
            return RedirectResponse(_of_ours(after), status_code=303)
        return ask(request, after)

    @router.post(SIGN_IN)
    async def sign_in(request: Request) -> Response:
        form: Form = request.state.form
        after = form.get("after", "/")
        try:
            session = access.sign_in(request, form.get("token", ""))
        except TooManyAttempts as why:
            answer = ask(request, after, "Too many wrong tokens came. Try again in a minute.", 429)
            answer.headers["Retry-After"] = str(math.ceil(why.wait_s))
            return answer
        if session is None:
            return ask(request, after, "This token is wrong.", 403)
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
