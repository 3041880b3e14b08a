"""The documents: every link leads somewhere, the index has each of them once, and what a newcomer reads is short."""

import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.foreign.markdown import anchors, relative_links

ROOT = Path(__file__).parents[3]
INDEX = ROOT / "docs" / "README.md"
PARTS = ["Start", "Run", "Fix", "Understand"]
# Rooms are named without their package, where the text says which it is about.
UNDER = [ROOT, ROOT / "hubspot_consumer", ROOT / "producer", ROOT / "console", ROOT / "sandbox", ROOT / "tests"]


def pages() -> list[Path]:
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z", "*.md"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [page for name in listed.split("\0") if name and (page := ROOT / name).is_file()]


def broken_links(page: Path) -> Iterator[str]:
    """Yield the links of a page that lead to no file, or to no heading of one."""
    for target in relative_links(page):
        name, _, anchor = target.partition("#")
        led_to = (page.parent / name).resolve() if name else page
        if not led_to.exists() or (anchor and led_to.suffix == ".md" and anchor not in anchors(led_to)):
            yield target


def test_every_link_of_every_document_leads_to_a_file_and_a_heading_that_are_there() -> None:
    assert {str(page): found for page in pages() if (found := list(broken_links(page)))} == {}


@pytest.mark.parametrize(
    ("link", "broken"),
    [("other.md", False), ("other.md#a-heading", False), ("#here", False), ("other.md#none", True), ("no.md", True)],
)
def test_a_link_that_leads_nowhere_is_found(tmp_path: Path, link: str, *, broken: bool) -> None:
    (tmp_path / "other.md").write_text("# A heading\n```sh\n# none\n```\n")
    page = tmp_path / "page.md"
    page.write_text(f"# Here\n[elsewhere](https://example.com/x#y) and [there]({link})\n")

    assert list(broken_links(page)) == ([link] if broken else [])


def test_the_index_has_four_parts_and_names_every_document_once() -> None:
    named = Counter((INDEX.parent / target).resolve() for target in relative_links(INDEX))

    assert re.findall(r"^## (.+)$", INDEX.read_text(), re.MULTILINE) == PARTS
    documents = {page for page in (ROOT / "docs").glob("*.md") if page != INDEX}
    assert named.keys() >= documents | {ROOT / "docs" / "decisions", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"}
    assert set(named.values()) == {1}


def test_the_readme_is_read_in_minutes_and_leads_to_the_index() -> None:
    assert len((ROOT / "README.md").read_text().split()) < 700
    assert "docs/README.md" in relative_links(ROOT / "README.md")


def test_the_glossary_has_at_most_40_terms_and_twelve_come_before_the_delivery_path() -> None:
    _, first, rest = re.split(r"^## .+$", (ROOT / "docs/glossary.md").read_text(), maxsplit=2, flags=re.MULTILINE)
    terms = re.findall(r"\*\*([^*]+)\*\*", first + rest)

    assert len(re.findall(r"\*\*[^*]+\*\*", first)) <= 12
    assert len(terms) <= 40
    assert [term for term, times in Counter(terms).items() if times > 1] == []


@pytest.mark.parametrize("page", sorted((ROOT / "docs").glob("*.md")), ids=lambda page: page.stem)
def test_a_document_names_no_file_that_is_not_there(page: Path) -> None:
    named = set(re.findall(r"`([\w./-]+/[\w-]+\.(?:py|sh|yml|json|sql|toml|html|js))`", page.read_text()))

    assert sorted(name for name in named if not any((under / name).exists() for under in UNDER)) == []
