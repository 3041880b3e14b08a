"""The application: every page behind the access check, and response headers that restrict the browser."""

from collections.abc import Sequence
from typing import Final
from urllib.parse import quote

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.responses import PlainTextResponse, RedirectResponse, Response
from fastapi.staticfiles import StaticFiles
from prometheus_client import CollectorRegistry
from starlette.exceptions import HTTPException
from starlette.middleware.base import RequestResponseEndpoint
from starlette.middleware.gzip import GZipMiddleware

from console.audit_log import NotNoted
from console.shared_settings import OtherSettings
from console.web.access import COOKIE, SIGN_IN, Access, Forbidden, SignInNeeded
from console.web.forms import TOO_LARGE, says_it_is_small
from console.web.sessions import LASTS, Session
from console.web.view import STATIC, View
from runtime.http.server import application

HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "font-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
# An address of `static` changes with the file. Any other may be cached for an hour.
_CACHED: Final = "public, max-age=31536000, immutable"
_CACHED_FOR_AN_HOUR: Final = "public, max-age=3600"
# The status of an answer that nobody receives, as nginx logs it.
_LEFT: Final = 499
# A smaller file does not get smaller.
_COMPRESSED_FROM: Final = 500


def console(view: View, access: Access, pages: Sequence[APIRouter], *, https: bool) -> FastAPI:
    """Return the application of these *pages*. *https*: browsers send the cookie only over https."""
    # FastAPI's spans are switched off: they would contain query strings, and with them the emails searched for.
    app = application(
        "Console",
        unwell=dict,
        also=dict,
        metrics=CollectorRegistry(),
        untraced=lambda _: True,
    )
    # Pages are not compressed: their length would tell something of their tokens, beside what was searched for.
    app.mount("/static", GZipMiddleware(StaticFiles(directory=str(STATIC)), _COMPRESSED_FROM), name="static")
    for router in pages:
        app.include_router(router, dependencies=[Depends(access.check)])
    _answer_refusals(app, view)

    @app.middleware("http")
    async def guard(request: Request, call_next: RequestResponseEndpoint) -> Response:
        # The size is checked before the body is read, and before the access check.
        if request.method not in ("GET", "HEAD") and not says_it_is_small(request):
            return PlainTextResponse(TOO_LARGE, 413, headers=HEADERS)
        try:
            response = await call_next(request)
        except RuntimeError:
            # Starlette raises it where no answer was made, as for a file that a browser no longer waits for.
            if not await request.is_disconnected():
                raise
            return Response(status_code=_LEFT)
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        if request.scope["path"].startswith("/static/"):
            response.headers["Cache-Control"] = _CACHED if "v" in request.query_params else _CACHED_FOR_AN_HOUR
        session: Session | None = getattr(request.state, "session", None)
        if session is not None and request.cookies.get(COOKIE) != session.id:
            response.set_cookie(
                COOKIE, session.id, int(LASTS.total_seconds()), secure=https, httponly=True, samesite="lax"
            )
        return response

    return app


def _answer_refusals(app: FastAPI, view: View) -> None:
    @app.exception_handler(SignInNeeded)
    async def sign_in_needed(request: Request, _: SignInNeeded) -> Response:
        if request.headers.get("HX-Request"):
            # htmx would insert a redirect's sign-in page in place of the fragment.
            return PlainTextResponse("sign in again", 401, headers={"HX-Redirect": SIGN_IN})
        if request.method not in ("GET", "HEAD"):
            return PlainTextResponse("sign in first", 401)
        path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return RedirectResponse(f"{SIGN_IN}?after={quote(path, safe='')}", 303)

    @app.exception_handler(Forbidden)
    async def refused(request: Request, why: Forbidden) -> Response:
        return _told(view, request, 403, "Not allowed", str(why))

    @app.exception_handler(NotNoted)
    async def not_noted(request: Request, why: NotNoted) -> Response:
        return _told(view, request, 503, why.title, str(why))

    @app.exception_handler(OtherSettings)
    async def other_settings(request: Request, why: OtherSettings) -> Response:
        return _told(view, request, 409, why.title, str(why))

    @app.exception_handler(HTTPException)
    async def other(request: Request, error: HTTPException) -> Response:
        if getattr(request.state, "session", None) is None:
            return PlainTextResponse(str(error.detail), error.status_code, headers=error.headers)
        answer = _told(view, request, error.status_code, "Error", str(error.detail))
        answer.headers.update(error.headers or {})
        return answer


def _told(view: View, request: Request, status: int, title: str, why: str) -> Response:
    template = "refused_fragment.html" if request.headers.get("HX-Request") else "refused.html"
    return view.page(request, template, status, title=title, why=why)
