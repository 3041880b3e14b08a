"""Known answers: errors and pages that somebody published, each by a name, for faults that answer with them."""

from collections.abc import Mapping
from typing import Final, Literal, get_args

from sandbox.hubspot.http.answers import Answer, error, rate_limited

KnownName = Literal[
    "token_of_another_region",
    "banned",
    "forbidden_without_scopes",
    "scope_not_public",
    "firewall_page",
    "maintenance_page",
    "sign_in_page",
    "not_found_page",
    "moved_301",
    "moved_302",
    "moved_307",
    "moved_308",
    "rate_limit_as_500",
    "rate_limit_of_the_proxy",
    "monthly_limit",
    "no_reason",
]

_SCOPE_NOT_PUBLIC: Final = (
    "The scope needed for this API call isn't available for public use. If you have questions, contact support or post "
    "in our developer forum."
)
_ELSEWHERE: Final = "https://example.com/moved"
_HTML: Final = "text/html;charset=utf-8"
_TEXT: Final = "text/plain;charset=UTF-8"


def known_answer(name: KnownName, group: str) -> Answer:
    """Return an answer by its name. *group* is the name of the burst quota."""
    if name == "monthly_limit":
        return rate_limited("monthly", group)
    if name in _ERRORS:
        status, message, category = _ERRORS[name]
        return error(status, message, category)
    status, payload, media_type, headers = _TEXTS[name]
    return Answer(status, payload, dict(headers), media_type)


def _page(title: str, heading: str) -> str:
    return f"<!DOCTYPE html><html><head><title>{title}</title></head><body><h1>{heading}</h1></body></html>"


_ERRORS: Final[Mapping[str, tuple[int, str, str | None]]] = {
    "banned": (403, "The app is not allowed to access this portal.", "BANNED"),
    "forbidden_without_scopes": (
        403,
        "This API can't be called using an OAuth access token. A valid developer API key must be provided.",
        None,
    ),
    "scope_not_public": (
        403,
        _SCOPE_NOT_PUBLIC,
        "MISSING_SCOPES",
    ),
    "rate_limit_as_500": (500, "You have reached your secondly limit.", "RATE_LIMITS"),
    "no_reason": (400, "There was a problem with the request.", None),
}
_TEXTS: Final[Mapping[str, tuple[int, str | None, str, Mapping[str, str]]]] = {
    # Cloudflare, HubSpot's proxy, can not tell from such a token to which data centre the call belongs.
    "token_of_another_region": (530, "error code: 1016", _TEXT, {}),
    "rate_limit_of_the_proxy": (429, "error code: 1015", _TEXT, {"Retry-After": "30"}),
    "firewall_page": (403, _page("Attention Required! | Cloudflare", "Sorry, you have been blocked"), _HTML, {}),
    "maintenance_page": (200, _page("Maintenance", "We will be back soon"), _HTML, {}),
    "sign_in_page": (200, _page("Sign in", "Sign in to this network"), _HTML, {}),
    "not_found_page": (404, _page("Error 404 Not Found", "HTTP ERROR 404"), _HTML, {}),
    **{f"moved_{status}": (status, None, _HTML, {"Location": _ELSEWHERE}) for status in (301, 302, 307, 308)},
}
KNOWN: Final[tuple[str, ...]] = get_args(KnownName)
