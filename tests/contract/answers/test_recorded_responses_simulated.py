"""The simulator answers as HubSpot did: every recorded answer can be had from it, in shape and in words."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

import httpx
import pytest

from sandbox.hubspot.records.portal import Portal
from tests.contract.provoking import Scene, told
from tests.contract.ways import WAYS
from tests.recorded import RECORDED, Recorded

# What is another in every portal, at every time and in every call.
_VARYING: Final = (
    (re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"), "<uuid>"),
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"), "<time>"),
    (re.compile(r"line \d+, column \d+"), "line <number>, column <number>"),
    (re.compile(r"\d+ (day|second)\(s\)"), r"<number> \1(s)"),
    (re.compile(r"[+-]\d\d:\d\d$"), "<offset>"),
    (re.compile(r"\d{3,}"), "<number>"),
)
_FAILURES: Final = "Property values were not valid: "
# Those that the simulator has no form of its own for.
_TOLD: Final = 15


def _normal(value: Any) -> Any:
    if isinstance(value, str):
        for pattern, placeholder in _VARYING:
            value = pattern.sub(placeholder, value)
    elif isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 100:
        return "<number>"
    return value


def _differences(recorded: Any, simulated: Any, where: str = "", *, exact: bool) -> Iterator[str]:
    """Yield where two bodies differ; unless *exact*, a simulated object may have fields that were not recorded."""
    match recorded, simulated:
        case dict(), dict():
            names = set(recorded) ^ set(simulated) if exact else set(recorded) - set(simulated)
            yield from (f"{where}.{name} is not in both" for name in sorted(names))
            for name in recorded.keys() & simulated.keys():
                # A recording shows some of a record's fields, but all of an error's.
                deeper = name == "errors" or (exact and name not in ("results", "properties"))
                yield from _differences(recorded[name], simulated[name], f"{where}.{name}", exact=deeper)
        case list(), list():
            yield from _unmatched(recorded, simulated, where, exact=exact)
        case str(), str() if recorded.startswith(_FAILURES) and simulated.startswith(_FAILURES):
            ours, theirs = (json.loads(text.removeprefix(_FAILURES)) for text in (recorded, simulated))
            yield from _unmatched(ours, theirs, f"{where} (its JSON)", exact=False)
        case _:
            if _normal(recorded) != _normal(simulated):
                yield f"{where}: {recorded!r} was recorded, {simulated!r} is simulated"


def _unmatched(recorded: list[Any], simulated: list[Any], where: str, *, exact: bool) -> Iterator[str]:
    """Yield where two lists differ, in whatever order they are."""
    left = list(simulated)
    for item in recorded:
        found = next((other for other in left if not list(_differences(item, other, exact=exact))), None)
        if found is None:
            closest = list(_differences(item, left[0], exact=exact)) if left else ["nothing is left"]
            yield f"{where}[]: nothing is like {item!r}: {closest}"
        else:
            left.remove(found)
    if len(recorded) != len(simulated):
        yield f"{where} has {len(recorded)} items as recorded, {len(simulated)} as simulated"


def _header_differences(recorded: httpx.Response, simulated: httpx.Response) -> Iterator[str]:
    if recorded.headers.get("Retry-After") != simulated.headers.get("Retry-After"):
        yield f"Retry-After: {simulated.headers.get('Retry-After')}"
    yield from (f"{name} is missing" for name in recorded.headers if name not in simulated.headers)
    kinds = [answer.headers.get("Content-Type", "application/json").split(";")[0] for answer in (recorded, simulated)]
    if simulated.content and kinds[0] != kinds[1]:
        yield f"Content-Type: {kinds[1]}"


def test_every_recorded_answer_has_a_way_to_it_and_every_way_leads_to_one() -> None:
    assert sorted(WAYS) == sorted(answer.name for answer in RECORDED)


def test_few_answers_have_to_be_handed_to_the_simulator() -> None:
    assert sum(way is told for way in WAYS.values()) <= _TOLD


@pytest.mark.parametrize("recorded", RECORDED, ids=str)
async def test_the_simulator_answers_as_hubspot_did(
    recorded: Recorded, portal: Portal, hubspot: httpx.AsyncClient
) -> None:
    await _check(recorded, portal, hubspot)


def _in_newest_version() -> list[Any]:
    """Return the recorded answers as those of 2026-09, which no SDK of HubSpot's has yet."""
    moved = []
    for recorded in RECORDED:
        method, url = recorded.method_and_url
        if "/2026-03" in url and recorded.sure == "certain":
            path = f"{method} {url.replace('/2026-03', '/2026-09')}"
            moved.append(pytest.param(replace(recorded, path=path), id=recorded.name))
    return moved


@pytest.mark.parametrize("recorded", _in_newest_version())
async def test_the_simulator_answers_alike_in_the_newest_version(
    recorded: Recorded, portal: Portal, hubspot: httpx.AsyncClient
) -> None:
    await _check(recorded, portal, hubspot)


async def _check(recorded: Recorded, portal: Portal, hubspot: httpx.AsyncClient) -> None:
    simulated = await WAYS[recorded.name](Scene(portal, hubspot, recorded))

    assert simulated.status_code == recorded.status, simulated.text
    as_recorded = recorded.response()
    assert list(_header_differences(as_recorded, simulated)) == []
    if isinstance(recorded.body, dict):
        exact = recorded.status >= 300 or "results" in recorded.body
        assert list(_differences(recorded.body, simulated.json(), exact=exact)) == []
    else:
        assert simulated.text == as_recorded.text
