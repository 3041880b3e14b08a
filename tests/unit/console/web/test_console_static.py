"""What the console serves of others is what their packages hold, and its pages ask nobody else for anything."""

import hashlib
import re
from pathlib import Path

import pytest
from starlette.types import Message

from tests.console.server import Visitor, application

CONSOLE = Path(__file__).parents[4] / "console"
# Of the packages htmx.org and uplot of the npm registry, in dist/.
DIGESTS = {
    "htmx-2.0.11.min.js": "d6fdc75f204e6bdefa99b69bf1e6d4ac69b8a364f77929f45c13476b4000f717",
    "uplot-1.6.32.min.js": "19c8d4c6ad88929a79f4ae49d6f7161566dfd0ba3d15cc495e974f787eb78f1f",
    "uplot-1.6.32.min.css": "df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04",
}
OURS = [
    path for pattern in ("templates/*.html", "static/*.js", "static/*.css") for path in sorted(CONSOLE.glob(pattern))
]


def test_vendored_files_are_as_they_were_published() -> None:
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in CONSOLE.glob("static/vendor/*.min.*")}

    assert found == DIGESTS


@pytest.mark.parametrize("path", OURS, ids=lambda path: path.name)
def test_no_page_has_a_script_or_style_of_its_own_that_the_policy_would_refuse(path: Path) -> None:
    text = path.read_text()

    assert not re.search(r"<script(?![^>]* src=)|<style|\sstyle=|\son[a-z]+=|\bhx-on|javascript:", text)


@pytest.mark.parametrize("path", OURS, ids=lambda path: path.name)
def test_no_page_asks_another_host_for_anything(path: Path) -> None:
    assert not re.search(r"(src|href|url\(|import|fetch\()[=(\s\"']*(https?:)?//", path.read_text())


async def test_a_file_is_kept_as_long_as_its_address_names_its_content_and_only_files_are_compressed(
    tmp_path: Path,
) -> None:
    visitor = Visitor(application(tmp_path))
    page = await visitor.http.get("/sign-in")
    addresses = re.findall(r'(?:src|href)="(/static/[^"]+)"', page.text)
    assert len(addresses) > 4

    for address in addresses:
        answer = await visitor.http.get(address)
        assert answer.headers["cache-control"].endswith("immutable")
        if ".svg" not in address:
            assert answer.headers["content-encoding"] == "gzip"
    unnamed = await visitor.http.get("/static/console.css")
    assert unnamed.headers["cache-control"] == "public, max-age=3600"
    assert (page.headers["cache-control"], page.headers.get("content-encoding")) == ("no-store", None)


POLLED = (
    "banner",
    "control_live",
    "findings",
    "overview_live",
    "overview_happened",
    "overview_parts",
    "overview_workers",
    "run_live",
)


def template(name: str) -> str:
    return (CONSOLE / "templates" / f"{name}.html").read_text()


def test_every_fragment_that_is_polled_is_looked_at_here() -> None:
    asked = {
        path for name in OURS for path in re.findall(r'hx-get="([^"?]+)[^"]*" hx-trigger="every', name.read_text())
    }

    assert asked == {"/banner", "/control/live", "/overview/live", "/overview/happened", "/runs/{{ run.id }}/live"}


@pytest.mark.parametrize("name", POLLED)
def test_what_a_keyboard_reaches_in_a_polled_fragment_has_an_id_by_which_it_keeps_the_focus(name: str) -> None:
    tags = re.findall(r"<(?:a|button|summary|select|textarea|input)\b[^>]*>|<[^>]* tabindex=[^>]*>", template(name))

    assert [tag for tag in tags if " id=" not in tag and 'type="hidden"' not in tag] == []


@pytest.mark.parametrize("name", [*POLLED, "control", "overview", "run", "contact_hubspot", "contact_present"])
def test_nothing_that_is_swapped_in_or_holds_what_is_speaks_by_itself(name: str) -> None:
    before_the_page = r'{% if request.query_params.get\("instead"\) %}.*?{% endif %}'

    assert not re.search(
        r'aria-live|role="(alert|status|log)"', re.sub(before_the_page, "", template(name), flags=re.DOTALL)
    )


def test_what_is_new_is_said_by_one_short_line_of_the_layout() -> None:
    assert '<p id="said" class="unseen" role="status"></p>' in template("layout")
    assert 'id="banner" aria-live' not in template("layout")


def test_the_document_lists_the_keys_of_the_console() -> None:
    told = (CONSOLE.parent / "docs" / "console.md").read_text()

    of_pages = re.findall(r'\("[^"]+", "([^"]+)", "(\w)"\)', template("layout"))
    keys, names = [f"`g` `{key}`" for _, key in of_pages], [name.lower() for name, _ in of_pages]
    assert f"| {', '.join(keys)} | go to {', '.join(names)} |" in told
    assert [key for key in re.findall(r"<kbd>([^<{]+)</kbd>", template("keys")) if f"`{key}`" not in told] == []


async def test_a_browser_that_leaves_before_its_file_comes_is_no_error(tmp_path: Path) -> None:
    async def left() -> Message:
        return {"type": "http.disconnect"}

    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    headers = [(b"host", b"console.example.com"), (b"accept-encoding", b"gzip")]
    request = {"type": "http", "http_version": "1.1", "method": "GET", "scheme": "http", "headers": headers}
    address = {"path": "/static/console.css", "query_string": b"", "root_path": "", "client": ("127.0.0.1", 1)}

    await application(tmp_path)({**request, **address}, left, send)

    assert [message["status"] for message in sent if message["type"] == "http.response.start"] == [499]
