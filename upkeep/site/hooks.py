"""MkDocs' hooks: the site has the repository's paths, so that each link leads where it leads on a repository's page.

`mkdocs.yml` names this file. The four parts come from docs/README.md, so that a document is listed in one place.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page

ROOT: Final = Path(__file__).parents[2]
DOCS: Final = ROOT / "docs"
HOME: Final = "README.md"
# What stands outside of docs/ and is a page all the same.
PAGES: Final = (HOME, "CONTRIBUTING.md", "CHANGELOG.md")
DECISIONS: Final = "docs/decisions"

_FENCED: Final = re.compile(r"^ *```.*?^ *```$", re.MULTILINE | re.DOTALL)
_LINK: Final = re.compile(r"(?<=\]\()(?!\w+:|#)([^)\s#]+)")
_PART: Final = re.compile(r"^## (.+)$")
_ENTRY: Final = re.compile(r"^- \[[^\]]+\]\(([^)]+)\)")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Take the navigation from the index of the documents."""
    parts: dict[str, list[Any]] = {}
    for line in (DOCS / "README.md").read_text().splitlines():
        if part := _PART.match(line):
            parts[part[1]] = []
        elif entry := _ENTRY.match(line):
            where = _in_repository(DOCS, entry[1])
            parts[list(parts)[-1]].append({"Decisions": _decisions()} if where == DECISIONS else where)
    documents = [{name: found} for name, found in parts.items()]
    config.nav = [{"Nerava lifecycle": HOME}, {"Documents": "docs/README.md"}, *documents]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Give each document its path in the repository, and add what documents link to: files, and lists of folders."""
    built: dict[str, File] = {}
    for file in files:
        # The others are the theme's.
        ours = file.src_dir == config.docs_dir
        name = f"docs/{file.src_uri}" if ours else file.src_uri
        built[name] = _file(config, name) if ours else file
    for name in PAGES:
        built[name] = _file(config, name)
    for name in sorted({found for file in built.values() for found in _linked(file)} - built.keys()):
        if (ROOT / name).is_dir():
            index = f"{name}/README.md"
            built[index] = File.generated(config, index, content=_listing(name), inclusion=_in_navigation(name))
            built |= {str(path): _file(config, str(path)) for path in _files_of(name) if str(path) not in built}
        elif (ROOT / name).is_file():
            built[name] = _file(config, name)
    return Files(built.values())


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Lead a link to a folder to the list of its files."""
    folder = (ROOT / page.file.src_uri).parent

    def to_a_file(link: re.Match[str]) -> str:
        return f"{link[0].rstrip('/')}/README.md" if (folder / link[0]).is_dir() else link[0]

    return _LINK.sub(to_a_file, markdown)


def _file(config: MkDocsConfig, name: str) -> File:
    # It is said to be included: MkDocs leaves out names that begin with a dot.
    return File.generated(config, name, abs_src_path=str(ROOT / name), inclusion=InclusionLevel.INCLUDED)


def _linked(file: File) -> Iterator[str]:
    """Yield the paths that a page links to, seen from the repository's root."""
    if file.is_documentation_page():
        text = _FENCED.sub("", file.content_string)
        yield from (_in_repository((ROOT / file.src_uri).parent, target) for target in _LINK.findall(text))


def _in_repository(folder: Path, target: str) -> str:
    path = (folder / target).resolve()
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else target


def _decisions() -> list[str]:
    return [f"{DECISIONS}/README.md", *map(str, _files_of(DECISIONS))]


def _in_navigation(folder: str) -> InclusionLevel:
    return InclusionLevel.INCLUDED if folder == DECISIONS else InclusionLevel.NOT_IN_NAV


def _files_of(folder: str) -> list[Path]:
    """Return the files of a folder, seen from the repository's root."""
    return sorted(path.relative_to(ROOT) for path in (ROOT / folder).iterdir() if path.is_file())


def _listing(folder: str) -> str:
    """Return a page that lists a folder's files, each by its title if it is a document."""
    lines = [f"# {Path(folder).name.capitalize()}", ""]
    for path in _files_of(folder):
        title = (ROOT / path).read_text().partition("\n")[0].removeprefix("# ") if path.suffix == ".md" else path.name
        lines.append(f"- [{title}]({path.name})")
    return "\n".join(lines)
