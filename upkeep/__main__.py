"""`python -m upkeep`: the commands of some make targets."""

import re
from datetime import UTC, datetime
from difflib import unified_diff
from pathlib import Path
from typing import Annotated, Final

import typer

from runtime.commands import fail, refuse
from upkeep import house as layout
from upkeep import osv, settings_reference
from upkeep import pythons as promised
from upkeep.advisories import Unreachable, downloaded_advisories, known_advisories
from upkeep.containers.command import containers
from upkeep.matrix.command import matrix
from upkeep.release import NotReleasable, released
from upkeep.settings_reference import ROOT
from upkeep.site.recording import NotToBePublished, Said, lines, record, refuse_private, svg

DEMO: Final = ROOT / "docs" / "pictures" / "demo.svg"

commands = typer.Typer(
    help="Keeps the repository right: what is made from the code, and what is known of its libraries.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@commands.command()
def settings(
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show what is stale; exit with 1 if anything is.")
    ] = False,
) -> None:
    """Write docs/settings.md, .env.example and the schema of the chart's values from the settings' classes."""
    stale = settings_reference.stale()
    for path, text in stale.items():
        if not dry_run:
            path.write_text(text)
        print(f"{'stale' if dry_run else 'written'}  {path.relative_to(settings_reference.ROOT)}")
    if not stale:
        print("nothing is stale")
    elif dry_run:
        raise SystemExit(1)


@commands.command()
def advisories(
    database: Annotated[
        Path | None, typer.Argument(help=f"Look into this zip instead, downloaded from {osv.URL}, without a network.")
    ] = None,
    *,
    osv_url: Annotated[str, typer.Option(help="Ask this database, which speaks OSV: https://host/v1/query.")] = "",
    where_reachable: Annotated[
        bool, typer.Option("--where-reachable", help="Exit with 0, and say so, if no database can be reached.")
    ] = False,
) -> None:
    """Look up known vulnerabilities of all versions in uv.lock, those of the tools too.

    Exits with 0 if none is known, with 1 if one is, with 3 if nobody can tell, for lack of a database to ask.
    """
    as_of = ""
    try:
        if database:
            found, versions, newest = downloaded_advisories(database)
            as_of = f", as of {newest}"
        else:
            found, versions = known_advisories(osv_url)
    except Unreachable as unreachable:
        how = "read" if database else "reached"
        print(f"NOT CHECKED for known vulnerabilities: no database of advisories can be {how} ({unreachable})")
        raise SystemExit(0 if where_reachable else 3) from None
    for advisory in found:
        mended = f"fixed by {', '.join(advisory.mended_by)}" if advisory.mended_by else "not mended yet"
        print(f"{advisory.package} {advisory.version}: {advisory.name}, {mended}")
    if found:
        fail(
            f"{len(found)} known vulnerabilities in {versions} locked versions{as_of}: `uv lock --upgrade-package NAME`"
        )
    print(f"no known vulnerability in {versions} locked versions{as_of}")


@commands.command()
def house(
    checkout: Annotated[Path, typer.Argument(help="Measure this checkout.")] = settings_reference.ROOT,
    *,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print only what is beyond its bound.")] = False,
) -> None:
    """Measure how the code is laid out: folders, imports, files, functions, statements, terms of the glossary.

    Exits with 1 if a folder has too many files or the glossary defines too many terms.
    """
    measured = layout.measured(checkout)
    if not quiet:
        print(layout.table(measured))
    if faults := list(measured.faults()):
        print(*faults, sep="\n")
        raise SystemExit(1)


@commands.command()
def pythons() -> None:
    """Run the unit tests on each promised Python that this machine has, each with an environment from uv.lock.

    Names those that are not found. Exits with 1 if a test fails on any.
    """
    on = promised.found()
    outcomes = {
        version: promised.passes(version, interpreter) if interpreter else None for version, interpreter in on.items()
    }
    for version, passed in outcomes.items():
        print(f"Python {version}: {'not found here' if passed is None else 'passed' if passed else 'FAILED'}")
    if False in outcomes.values():
        fail("the unit tests do not pass on every Python that `requires-python` promises")


@commands.command()
def release(
    version: Annotated[str, typer.Argument(help="The version, such as 1.2.3.")],
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would change.")] = False,
) -> None:
    """Set the version in each file that has it, and put the changelog's unreleased part under its heading.

    It commits nothing. docs/releasing.md says what comes before and after it.
    """
    try:
        texts = released(ROOT, version, datetime.now(UTC).date())
    except NotReleasable as why:
        refuse(str(why))
    for path, text in texts.items():
        changed = unified_diff(path.read_text().splitlines(), text.splitlines(), n=0, lineterm="")
        print(path.relative_to(ROOT), *(line for line in changed if re.match(r"[+-](?![+-])", line)), sep="\n  ")
        if not dry_run:
            path.write_text(text)


@commands.command()
def recording() -> None:
    """Play the demo in a terminal, and write what it showed to docs/pictures/demo.svg."""
    command = ["make", "--no-print-directory", "demo"]
    try:
        said = record(command, ROOT)
        typed = Said(0, "\x1b[1m$ make demo\x1b[0m\r\n")
        picture = svg(lines([typed, *said]), "make demo, in a terminal")
        refuse_private(picture, [str(ROOT), str(Path.home())])
    except NotToBePublished as why:
        fail(str(why))
    DEMO.write_text(picture)
    print(f"{DEMO.relative_to(ROOT)}: {said[-1].at_s:.0f} s, {len(picture) // 1024} KiB")


commands.command()(matrix)
commands.command()(containers)


if __name__ == "__main__":
    commands(prog_name="python -m upkeep")
