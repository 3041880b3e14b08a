"""The page of dead letters with more than fit one page: all that match are chosen, exported and paged through."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.unit.console.test_console_dead_letters import Operator, signed_in_operator


@pytest.fixture
async def operator(tmp_path: Path) -> AsyncIterator[Operator]:
    async for made in signed_in_operator(tmp_path):
        yield made


async def test_all_that_the_filter_finds_are_chosen_by_it_and_not_by_their_ids(operator: Operator) -> None:
    shown = {"all": "yes", "reason": "too_large", "type": "nova_earned", "q": " Ada@Example.com"}

    assert await operator.commanded("/dead-letters/redrive", **shown, live="yes") == (
        "redrive --reason=too_large --event-type=nova_earned --contact=ada@example.com --yes --json --progress=json"
    )
    assert await operator.commanded("/dead-letters/redrive", all="yes") == ("redrive --dry-run --json --progress=json")
    _, noted, _ = operator.notes.noted[0]
    assert noted == {**shown, "q": " A***@Example.com"}


async def test_all_that_the_filter_finds_are_discarded_as_the_plan_showed_them_and_none_that_came_later(
    operator: Operator,
) -> None:
    planned = await operator.commanded("/dead-letters/discard", all="yes", reason="too_large", why="so")
    [run] = operator.runs.all("discard_plan")
    operator.clock.advance(600)
    done = await operator.commanded("/dead-letters/discard/planned", plan=run.id)

    assert planned == "dead-letters discard --reason=too_large --why=so --dry-run --json"
    assert done == ("dead-letters discard --reason=too_large --why=so --json --until=2026-11-24T00:00:00.000000Z --yes")
    assert [name for name, _, _ in operator.notes.noted] == ["discard_plan", "discard"]


async def test_a_list_of_many_has_pages_and_is_exported_as_it_is_filtered(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("console.pages.dead_letters.MOST_SHOWN", 2)
    first = (await operator.see("/dead-letters?reason=invalid_envelope")).text
    [(query, place)] = re.findall(r'id="older" href="/dead-letters\?([^"]*)&amp;before=([0-9-]+)"', first)
    older = (await operator.see(f"/dead-letters?{query}&before={place}")).text

    assert "1 to 2 of 4: tick some, or all that match." in first
    assert re.findall(r'data-letter="([^"]+)"', first + older) == ["0-5", "0-4", "0-1", "0-0"]
    assert 'id="older"' not in older
    assert 'id="newest" href="/dead-letters?reason=invalid_envelope"' in older
    assert 'id="all"' in older
    assert 'id="all"' not in (await operator.see("/dead-letters?state=all")).text
    assert 'data-letter="0-5"' in (await operator.see("/dead-letters?before=nonsense")).text
    file = await operator.see("/dead-letters.csv?reason=invalid_envelope")
    assert file.headers["Content-Disposition"] == 'attachment; filename="dead-letters-20241124T030000Z.csv"'
    assert file.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert [line.partition(",")[0] for line in file.text.splitlines()] == [
        f'"{each}"' for each in ("id", "0-5", "0-4", "0-1", "0-0")
    ]
    assert (await operator.see("/dead-letters.csv?q=nobody")).status_code == 400


async def test_whole_emails_are_exported_by_operators_only_and_it_is_noted(operator: Operator) -> None:
    masked = (await operator.see("/dead-letters.csv")).text
    whole = await operator.post("/dead-letters/export", q="ada@example.com", state="all")

    assert "ada@example.com" not in masked
    assert "a***@example.com" in masked
    assert whole.text.count("ada@example.com") >= 6
    assert operator.notes.noted == [("export", {"q": "a***@example.com", "state": "all"}, {})]
    operator.notes.away = True
    assert (await operator.post("/dead-letters/export")).status_code == 503


async def test_what_a_correction_changes_is_told_in_words_before_it_is_saved(operator: Operator) -> None:
    page = (await operator.see("/dead-letters/0-0")).text

    [added] = re.findall(r'data-difference="earned_at">.*?</tr>', page, re.DOTALL)
    [left_out] = re.findall(r'data-difference="earnd_at">.*?</tr>', page, re.DOTALL)
    assert "<td>added</td>" in added
    assert "<ins><code>&#34;2026-11-24T03:00:00Z&#34;</code></ins>" in added
    assert "<td>left out</td>" in left_out
    assert "<del><code>&#34;2026-11-24T03:00:00Z&#34;</code></del>" in left_out
