"""The documents as a site: it builds without a warning, needs no other host, and a broken link fails its build."""

import re
import shutil
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.foreign.site import build

ROOT = Path(__file__).parents[3]
INDEX = "# Documents\n\n## Start\n\n- [page.md](page.md): what?\n- [decisions](decisions): why?\n"
INDEX += "- [a](../CONTRIBUTING.md): how?\n- [b](../CHANGELOG.md): what?\n"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site") / "built"
    built = build(ROOT, folder)
    assert built.returncode == 0, built.stderr
    return folder


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A checkout with two documents."""
    shutil.copytree(ROOT / "upkeep" / "site", tmp_path / "upkeep" / "site")
    shutil.copy(ROOT / "mkdocs.yml", tmp_path)
    (tmp_path / "docs" / "decisions").mkdir(parents=True)
    (tmp_path / "docs" / "README.md").write_text(INDEX)
    (tmp_path / "docs" / "page.md").write_text("# A page\n\n## A heading\n")
    (tmp_path / "docs" / "decisions" / "0001-so.md").write_text("# 1. So\n")
    for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md"):
        (tmp_path / name).write_text(f"# {name}\n\n[documents](docs/README.md)\n")
    return tmp_path


class _Loads(HTMLParser):
    """The addresses that a browser asks for when it shows a page."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.feed(page.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        if tag in ("script", "img", "iframe", "source"):
            self.addresses.append(named.get("src") or "")
        elif tag == "link" and named.get("rel") not in ("canonical", "prev", "next"):
            self.addresses.append(named.get("href") or "")


def test_a_page_loads_nothing_from_another_host(site: Path) -> None:
    loaded = {address for page in site.rglob("*.html") for address in _Loads(page).addresses}

    assert len(loaded) > 10
    assert [address for address in loaded if re.match(r"\w+:|//", address)] == []


def test_lists_and_tables_are_read_as_such(site: Path) -> None:
    # Where a repository's page shows a list directly below a paragraph, MkDocs shows one long line.
    pages = {
        page: re.findall(r"<p>([^<]*(?:\n[-*] |\|\s?--|^\| )[^<]*)", page.read_text()) for page in site.rglob("*.html")
    }

    assert {str(page.relative_to(site)): found for page, found in pages.items() if found} == {}


def test_the_four_parts_lead_to_every_document_and_decision(site: Path) -> None:
    text = (site / "docs" / "index.html").read_text()

    assert re.findall(r'class="md-tabs__link">\s*([^<]+?)\s*<', text) == [
        *("Nerava lifecycle", "Documents", "Start", "Run", "Fix", "Understand")
    ]
    listed = (site / "docs" / "decisions" / "index.html").read_text()
    assert all(path.stem in listed for path in (ROOT / "docs" / "decisions").glob("*.md"))


def test_only_pages_with_a_diagram_load_mermaid(site: Path) -> None:
    loading = {page.parent.name for page in site.rglob("*.html") if "vendor/mermaid" in page.read_text()}

    assert "architecture" in loading
    assert "runbook" not in loading


def test_mermaid_is_as_it_was_published() -> None:
    found = {
        path.name: sha256(path.read_bytes()).hexdigest() for path in (ROOT / "upkeep/site/theme/vendor").glob("*.js")
    }

    assert found == {"mermaid-tiny-11.17.2.js": "7a644017d37f93c8359790884e6b67fb1f747c78eb20475952404bd87190a3f8"}


def test_a_small_site_is_built(small: Path) -> None:
    built = build(small, small / "built")

    assert built.returncode == 0, built.stderr
    assert (small / "built" / "docs" / "decisions" / "0001-so" / "index.html").exists()


@pytest.mark.parametrize("link", ["none.md", "page.md#none", "../nowhere/file.py", "/docs/page.md", "folder"])
def test_a_broken_link_fails_the_build(small: Path, link: str) -> None:
    (small / "docs" / "page.md").write_text(f"# A page\n\n[a link]({link})\n")

    built = build(small, small / "built")

    assert built.returncode == 1
    assert link in built.stderr


def test_a_document_that_the_index_does_not_name_fails_the_build(small: Path) -> None:
    (small / "docs" / "forgotten.md").write_text("# Forgotten\n")

    built = build(small, small / "built")

    assert built.returncode == 1
    assert "forgotten.md" in built.stderr
