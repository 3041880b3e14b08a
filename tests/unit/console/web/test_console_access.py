"""Who may see a page of the console, and who may act: every route, for everybody."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from console.person import Person
from console.web.access import CSRF_HEADER, FOR_ANYBODY, OPEN, SIGN_IN, SIGN_OUT
from console.web.forms import LARGEST_FORM
from console.web.sessions import LASTS, MOST, Sessions
from tests.clock import OwnedClock
from tests.console.server import Visitor, application, routes
from tests.pipeline import OPERATOR_TOKEN, READER_TOKEN

PROXY = "10.1.2.3"
BEHIND_A_PROXY = {
    "console_proxy_header": "X-Forwarded-User",
    "console_trusted_proxies": "10.0.0.0/8",
    "console_operators": "ada, grace",
}
ROUTES = routes(application(Path("unused")))
CLOSED = [(method, path) for method, path in ROUTES if path not in OPEN]
ACTIONS = [(method, path) for method, path in ROUTES if method != "GET" and path not in FOR_ANYBODY]
IN = {"operator": OPERATOR_TOKEN, "reader": READER_TOKEN}


def test_there_are_pages_to_see() -> None:
    assert ("GET", "/") in CLOSED
    assert {path for _, path in ROUTES if path in OPEN} == OPEN


@pytest.mark.parametrize(("method", "path"), CLOSED)
async def test_nobody_sees_or_does_anything_without_signing_in(tmp_path: Path, method: str, path: str) -> None:
    answer = await Visitor(application(tmp_path)).http.request(method, path)

    if method == "GET":
        assert (answer.status_code, answer.headers["location"].partition("?")[0]) == (303, SIGN_IN)
    else:
        assert answer.status_code == 401


@pytest.mark.parametrize("role", IN)
@pytest.mark.parametrize(("method", "path"), [(method, path) for method, path in CLOSED if method != "GET"])
async def test_no_post_is_taken_without_the_pages_own_token(tmp_path: Path, method: str, path: str, role: str) -> None:
    visitor = Visitor(application(tmp_path))
    await visitor.sign_in(IN[role])
    for shown in ({}, {CSRF_HEADER: "of-another-session"}):
        answer = await visitor.http.request(method, path, headers=shown)

        assert answer.status_code == 403
        assert "not from this console" in answer.text


@pytest.mark.parametrize(("method", "path"), ACTIONS)
async def test_a_reader_can_do_nothing_that_changes_anything(tmp_path: Path, method: str, path: str) -> None:
    visitor = Visitor(application(tmp_path))
    await visitor.sign_in(READER_TOKEN)

    answer = await visitor.http.request(method, path, headers={CSRF_HEADER: await visitor.csrf()})

    assert answer.status_code == 403
    assert "needs the role operator" in answer.text


@pytest.mark.parametrize(("method", "path"), ACTIONS)
async def test_an_operators_post_from_another_site_is_refused(tmp_path: Path, method: str, path: str) -> None:
    visitor = Visitor(application(tmp_path))
    await visitor.sign_in(OPERATOR_TOKEN)
    headers = {CSRF_HEADER: await visitor.csrf(), "Sec-Fetch-Site": "cross-site"}

    answer = await visitor.http.request(method, path, headers=headers)

    assert answer.status_code == 403
    assert "another site" in answer.text


@pytest.mark.parametrize("role", IN)
async def test_whoever_signed_in_sees_the_overview_and_their_role(tmp_path: Path, role: str) -> None:
    visitor = Visitor(application(tmp_path))

    assert (await visitor.sign_in(IN[role])).headers["location"] == "/"

    page = await visitor.http.get("/")
    assert page.status_code == 200
    assert f"{role} token" in page.text
    assert ("(read only)" in page.text) == (role == "reader")


async def test_a_token_that_nobody_has_signs_nobody_in(tmp_path: Path) -> None:
    visitor = Visitor(application(tmp_path))
    for token in ("", "x", OPERATOR_TOKEN[:-1], OPERATOR_TOKEN + "o", "\udcff"):
        answer = await visitor.sign_in(token.encode("utf-8", "replace").decode())

        assert answer.status_code == 403
        assert "This token is wrong" in answer.text
    assert (await visitor.http.get("/")).status_code == 303


async def test_signing_in_begins_a_new_session_and_signing_out_ends_it(tmp_path: Path) -> None:
    visitor = Visitor(application(tmp_path))
    await visitor.csrf()
    before = visitor.http.cookies["console_session"]
    await visitor.sign_in(OPERATOR_TOKEN)
    during = visitor.http.cookies["console_session"]

    await visitor.http.post(SIGN_OUT, headers={CSRF_HEADER: await visitor.csrf()})

    assert len({before, during, visitor.http.cookies["console_session"]}) == 3
    visitor.http.cookies.set("console_session", during, domain="console.example.com")
    assert (await visitor.http.get("/")).status_code == 303


async def test_a_session_ends_after_half_a_day(tmp_path: Path) -> None:
    clock = OwnedClock()
    visitor = Visitor(application(tmp_path, clock=clock))
    await visitor.sign_in(READER_TOKEN)

    clock.advance(LASTS.total_seconds() - 1)
    assert (await visitor.http.get("/")).status_code == 200

    clock.advance(1)
    assert (await visitor.http.get("/")).status_code == 303


def test_strangers_do_not_push_out_whoever_is_signed_in_nor_one_another() -> None:
    sessions = Sessions(OwnedClock())
    ours, strangers = sessions.begin(Person("ada", "operator")), sessions.begin()
    for _ in range(2 * MOST):
        sessions.begin()

    assert sessions.of(ours.id) == ours
    assert sessions.of(strangers.id) == strangers


def test_of_too_many_who_are_signed_in_the_first_has_to_sign_in_again() -> None:
    sessions = Sessions(OwnedClock())
    first, *_, last = [sessions.begin(Person("ada", "operator")) for _ in range(MOST + 1)]

    assert sessions.of(first.id).person is None
    assert sessions.of(last.id) == last


def test_a_session_has_a_token_of_its_own_which_the_cookie_does_not_tell() -> None:
    sessions, others = Sessions(OwnedClock()), Sessions(OwnedClock())
    one, another = sessions.begin(), sessions.begin()

    assert len({one.csrf, another.csrf, others.of(one.id).csrf}) == 3


@pytest.mark.parametrize(
    "after", ["https://elsewhere.example.com/", "//elsewhere.example.com", "/\\elsewhere", "x", "/a\nb", "//["]
)
async def test_signing_in_leads_to_no_other_site(tmp_path: Path, after: str) -> None:
    visitor = Visitor(application(tmp_path))
    form = {"token": OPERATOR_TOKEN, "csrf": await visitor.csrf(), "after": after}

    assert (await visitor.http.get(SIGN_IN, params={"after": after})).status_code == 200
    assert (await visitor.http.post(SIGN_IN, data=form)).headers["location"] == "/"


async def test_a_fragment_for_somebody_signed_out_leads_to_the_sign_in_page(tmp_path: Path) -> None:
    answer = await Visitor(application(tmp_path)).http.get("/overview/live", headers={"HX-Request": "true"})

    assert (answer.status_code, answer.headers["HX-Redirect"]) == (401, SIGN_IN)


@pytest.mark.parametrize(("name", "role"), [("ada", "operator"), ("grace", "operator"), ("lena", "reader")])
async def test_a_trusted_proxy_says_who_it_is_and_the_settings_say_what_they_may(
    tmp_path: Path, name: str, role: str
) -> None:
    visitor = Visitor(application(tmp_path, BEHIND_A_PROXY), PROXY, {"X-Forwarded-User": name})

    page = await visitor.http.get("/")

    assert page.status_code == 200
    assert name in page.text
    assert ("(read only)" in page.text) == (role == "reader")


@pytest.mark.parametrize(
    ("address", "headers"),
    [
        ("192.0.2.1", [("X-Forwarded-User", "ada")]),
        ("192.0.2.1", [("X-Forwarded-User", "ada"), ("X-Forwarded-For", PROXY)]),
        ("2001:db8::1", [("X-Forwarded-User", "ada")]),
        (PROXY, [("X-Forwarded-User", "ada"), ("X-Forwarded-User", "lena")]),
        (PROXY, [("X-Forwarded-User", " ")]),
        (PROXY, []),
    ],
)
async def test_a_forged_or_doubled_or_missing_name_is_nobodys(
    tmp_path: Path, address: str, headers: list[tuple[str, str]]
) -> None:
    visitor = Visitor(application(tmp_path, BEHIND_A_PROXY), address)

    answer = await visitor.http.get("/", headers=httpx.Headers(headers))

    assert answer.status_code == 303


async def test_without_a_configured_header_no_name_is_believed(tmp_path: Path) -> None:
    visitor = Visitor(application(tmp_path), "127.0.0.1", {"X-Forwarded-User": "ada"})

    assert (await visitor.http.get("/")).status_code == 303


async def test_whom_the_proxy_signs_in_needs_the_pages_token_to_act(tmp_path: Path) -> None:
    visitor = Visitor(application(tmp_path, BEHIND_A_PROXY), PROXY, {"X-Forwarded-User": "ada"})

    assert (await visitor.http.post(SIGN_OUT)).status_code == 403
    assert (await visitor.http.post(SIGN_OUT, headers={CSRF_HEADER: await visitor.csrf()})).status_code == 303


async def test_every_answer_tells_the_browser_to_run_nothing_else_and_keep_nothing(tmp_path: Path) -> None:
    visitor = Visitor(application(tmp_path, {"console_https": True}))
    await visitor.sign_in(OPERATOR_TOKEN)
    for path in ("/", SIGN_IN, "/overview/live", "/nowhere", "/v1/health"):
        answer = await visitor.http.get(path)

        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Frame-Options"] == "DENY"


async def test_the_cookie_is_out_of_reach_of_scripts_other_sites_and_plain_http(tmp_path: Path) -> None:
    answer = await Visitor(application(tmp_path, {"console_https": True})).http.get(SIGN_IN)

    cookie = answer.headers["Set-Cookie"].lower()
    assert all(word in cookie for word in ("httponly", "samesite=lax", "secure"))


async def test_strangers_who_knock_do_not_push_out_whom_a_proxy_names(tmp_path: Path) -> None:
    app = application(tmp_path, BEHIND_A_PROXY)
    ours = Visitor(app, PROXY, {"X-Forwarded-User": "ada"})
    csrf = await ours.csrf()
    for path in (SIGN_IN, "/"):
        for _ in range(MOST + 1):
            stranger = Visitor(app)
            await stranger.http.get(path)

    assert (await ours.http.post(SIGN_OUT, headers={CSRF_HEADER: csrf})).status_code == 303


@pytest.mark.parametrize("path", [SIGN_IN, "/nowhere"])
async def test_a_body_that_no_form_has_is_refused_before_it_is_read(tmp_path: Path, path: str) -> None:
    visitor = Visitor(application(tmp_path))

    async def endless() -> AsyncIterator[bytes]:
        pytest.fail("it was read")
        yield b""

    large = await visitor.http.post(path, content=endless(), headers={"Content-Length": str(LARGEST_FORM + 1)})
    unsaid = await visitor.http.post(path, content=endless())

    assert (large.status_code, unsaid.status_code) == (413, 413)


async def test_no_span_tells_whom_people_search_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr("opentelemetry.trace.get_tracer_provider", lambda: provider)
    visitor = Visitor(application(tmp_path))
    await visitor.sign_in(READER_TOKEN)

    await visitor.http.get("/contacts", params={"q": "ada@example.com"})

    assert [span.to_json() for span in exporter.get_finished_spans()] == []
