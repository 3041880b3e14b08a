"""The web page at `/`, which shows and changes the portal through the test API."""

from base64 import b64encode
from hashlib import sha256
from importlib.resources import files
from typing import Final

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

PATH: Final = "/"


def page() -> APIRouter:
    """Return the page's route. Its policy allows only its own script and style, and calls to this server."""
    html = files(__package__).joinpath("page.html").read_text(encoding="utf-8")
    headers = {
        "Content-Security-Policy": (
            f"default-src 'none'; script-src '{_hash(html, 'script')}'; style-src '{_hash(html, 'style')}'; "
            "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        ),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-store",
    }
    router = APIRouter()

    @router.get(PATH, include_in_schema=False)
    async def show() -> HTMLResponse:
        return HTMLResponse(html, headers=headers)

    return router


def _hash(html: str, tag: str) -> str:
    text = html.partition(f"<{tag}>")[2].partition(f"</{tag}>")[0]
    return f"sha256-{b64encode(sha256(text.encode()).digest()).decode()}"
