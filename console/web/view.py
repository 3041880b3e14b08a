"""The view: renders templates, with the context that every page shares."""

import hashlib
import json
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from functools import cache
from importlib.resources import files
from typing import Any, Final, Literal

from fastapi import Request
from fastapi.responses import HTMLResponse
from fastapi.templating import Jinja2Templates
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup, escape

from schemas.texts import read_json
from schemas.times import nearest, read_time, utc_milliseconds

STATIC: Final = files("console").joinpath("static")
MOST_CHARACTERS: Final = 20_000

Precision = Literal["seconds", "milliseconds"]
Form = Literal["full", "exact", "clock", "day"]
"""How much of a time is shown."""

Banner = Callable[[], Any]
"""Returns an object with the notices that every page shows: `halts`, the workers' `modes` such as a dry run, and the
workers whose settings are `differing` from the console's.
"""


class View:
    """Renders templates. A fragment, which htmx inserts into a loaded page, is rendered without the layout."""

    def __init__(self, banner: Banner = dict) -> None:
        self._templates: Final = Jinja2Templates(env=_environment())
        self._banner: Final = banner

    def page(self, request: Request, template: str, status: int = 200, **context: Any) -> HTMLResponse:
        """Return a page or a fragment. *context* is added to the shared context."""
        around = {
            "person": request.state.person,
            "csrf": request.state.session.csrf,
            "path": request.scope["path"],
            "banner": self._banner(),
        }
        return self._templates.TemplateResponse(request, template, {**around, **context}, status_code=status)


@cache
def _environment() -> Environment:
    # Each process compiles a template once, however many views there are.
    environment = Environment(
        loader=PackageLoader("console", "templates"),
        autoescape=select_autoescape(),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "moment": moment,
        "utc": utc,
        "age": age,
        "number": number,
        "pretty": pretty,
        "in_code": in_code,
        "read_time": read_time,
    }
    environment.globals["static"] = static
    return environment


@cache
def static(name: str) -> str:
    """Return the address of a static file. It changes with the content, so that browsers never keep an old one."""
    digest = hashlib.sha256(STATIC.joinpath(name).read_bytes()).hexdigest()
    return f"/static/{name}?v={digest[:8]}"


def utc(at: datetime | None, to: Precision = "milliseconds") -> str:
    """Return a time in UTC, as in logs, for where only plain text fits."""
    if at is None:
        return "—"
    at = nearest(at)
    return f"{at:%Y-%m-%d %H:%M:%S}{f'.{at.microsecond // 1000:03}' if to == 'milliseconds' else ''} UTC"


def moment(at: datetime | None, form: Form = "full") -> str:
    """Return a time as an element, to the second. console.js shows it in the viewer's zone; UTC stays as its title.

    *form*: `exact` has milliseconds, `clock` only the time of day, and `day` only the day, such as "today".
    """
    if at is None:
        return "—"
    at = nearest(at)
    shown = {
        "full": utc(at, "seconds"),
        "exact": utc(at),
        "clock": f"{at:%H:%M:%S} UTC",
        "day": f"{at:%Y-%m-%d} UTC",
    }[form]
    return Markup('<time datetime="{}" data-form="{}" title="{}">{}</time>').format(
        utc_milliseconds(at), form, utc(at), shown
    )


def age(seconds: float | timedelta | None) -> str:
    """Return a time span with its unit, to about two digits; 0 if it ends before it begins, as by another clock."""
    if seconds is None:
        return "—"
    if isinstance(seconds, timedelta):
        seconds = seconds.total_seconds()
    seconds = max(0.0, seconds)
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 120:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes = seconds / 60
    if minutes < 120:
        return f"{minutes:.0f} min"
    return f"{minutes / 60:.0f} h" if minutes < 48 * 60 else f"{minutes / 60 / 24:.0f} d"


def number(value: float | None, unit: str = "") -> str:
    """Return a figure with its unit; a dash for None."""
    if value is None:
        return "—"
    words = f"{value:,.0f}" if value >= 10 or value == int(value) else f"{value:.1f}"
    return f"{words} {unit}".strip()


def in_code(text: str) -> Markup:
    """Return a text in which what stands between backticks, such as a command, is marked as code."""
    parts = (escape(part) for part in text.split("`"))
    marked = (Markup("<code>{}</code>").format(part) if number % 2 else part for number, part in enumerate(parts))
    return Markup("").join(marked)


def pretty(value: bytes, where_whole: str = "") -> str:
    """Return a record's value as indented JSON, or as it is if it is not JSON, cut at MOST_CHARACTERS."""
    text = value.decode(errors="replace")
    with suppress(ValueError, RecursionError):
        text = json.dumps(read_json(value), indent=2, ensure_ascii=False)
    cut = f"{text[:MOST_CHARACTERS]}\n… ({len(text):,} characters{where_whole})"
    return text if len(text) <= MOST_CHARACTERS else cut
