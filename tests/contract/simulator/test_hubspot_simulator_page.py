"""The simulator's page, as far as it can be told without a browser."""

import re

import httpx

from sandbox.hubspot.records.portal import Portal


async def test_the_page_is_served_beside_hubspots_paths_and_is_no_call_to_hubspot(
    hubspot: httpx.AsyncClient, portal: Portal
) -> None:
    answer = await hubspot.get("/", headers={"Authorization": ""})

    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert portal.log.total == 0


async def test_the_page_allows_its_own_script_and_style_and_nothing_from_elsewhere(hubspot: httpx.AsyncClient) -> None:
    answer = await hubspot.get("/")
    policy = dict(part.strip().split(" ", 1) for part in answer.headers["Content-Security-Policy"].split(";"))

    assert policy["default-src"] == "'none'"
    assert policy["connect-src"] == "'self'"
    assert all(re.fullmatch(r"'sha256-[\w+/]{43}='", policy[kind]) for kind in ("script-src", "style-src"))
    assert answer.text.count("<script>") == answer.text.count("<style>") == 1
    for forbidden in ("http://", "https://", "innerHTML", "insertAdjacentHTML", " style=", " onclick="):
        assert forbidden not in answer.text


async def test_the_calls_that_the_page_makes_exist(hubspot: httpx.AsyncClient) -> None:
    text = (await hubspot.get("/")).text
    paths = set(re.findall(r'call\("GET", [`"](/[a-z/]+)', text))

    assert paths == {
        "/settings",
        "/settings/schema",
        "/quota",
        "/statistics",
        "/contacts",
        "/contacts/",
        "/requests",
        "/faults",
    }
    for path in paths - {"/contacts/"}:
        assert (await hubspot.get(f"/_simulator{path}")).status_code == 200
