"""`python -m producer import-outbox`: its options, its output and its wiring."""

from collections.abc import Iterable, Iterator
from typing import Annotated

import typer
from sqlalchemy.exc import DBAPIError

from producer.engine import engine_of
from producer.old_outbox.imports import Import, Summary
from producer.old_outbox.table import OldTable, Role, Unclear, find_table
from producer.settings import DatabaseSettings
from runtime.commands import FAILED, fail, refuse, start_command
from runtime.progress import shown_progress


def import_outbox(  # noqa: PLR0913 - typer reads a command's options from its parameters
    *,
    apply: Annotated[
        bool, typer.Option("--apply", help="Import the rows; without this option, only show what would be imported.")
    ] = False,
    table: Annotated[str | None, typer.Option(help="The old worker's table, or a view of it.")] = None,
    id_column: Annotated[str | None, typer.Option(help="Column that identifies a row.")] = None,
    type_column: Annotated[str | None, typer.Option(help="Column of the event's type.")] = None,
    payload_column: Annotated[str | None, typer.Option(help="Column of the payload, as JSON.")] = None,
    created_column: Annotated[
        str | None, typer.Option(help="Column of the time when the row was created; rows are imported in this order.")
    ] = None,
    processed_column: Annotated[
        str | None, typer.Option(help="Column that says when, or whether, the row was processed.")
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Import processed rows too, for complete totals and timelines.")
    ] = False,
    mark_processed: Annotated[
        bool,
        typer.Option("--mark-processed", help="Mark imported rows as processed, so that the old worker skips them."),
    ] = False,
    user_id_prefix: Annotated[
        str, typer.Option(help="Prefix of each user_id, if your backend now sends one: nerava_user_")
    ] = "",
) -> None:
    """Import the rows that the old worker left unprocessed in its table in DATABASE_URL, in order.

    Without --apply it writes nothing. Each row is imported once, even if a run is killed: run it again, and it
    continues. Rows that can't be imported are named with the reason, and the exit code is 1; the next run tries them
    again. Columns without an option are guessed. Stop the old worker first, or a row that it is processing may reach
    HubSpot twice. Without --mark-processed the old table stays as it is. Step by step: docs/moving-over.md.
    """
    if everything and (mark_processed or processed_column):
        refuse("--all reads no column that says what was processed: leave out --mark-processed and --processed-column")
    settings = start_command(DatabaseSettings, log_level="warning")
    columns: dict[Role, str | None] = {
        "id": id_column,
        "type": type_column,
        "payload": payload_column,
        "created": created_column,
        "processed": processed_column,
    }
    try:
        with engine_of(settings.database()).connect() as connection:
            with connection.begin():
                old = find_table(connection, table, columns, everything=everything)
            print(*_guess(old), sep="\n")
            importing = Import(connection, old, user_id_prefix=user_id_prefix)
            if apply and not importing.migrated:
                fail("DATABASE_URL: the database has no table outbox_imports: run `python -m producer migrate`")
            rows = importing.count()
            _show(importing.track(mark=mark_processed) if apply else importing.look(), rows)
    except Unclear as error:
        refuse(str(error))
    except DBAPIError as error:
        fail(f"DATABASE_URL: {str(error.orig).strip().splitlines()[0]}")
    print(*_report(importing.summary, old, applied=apply), sep="\n")
    if importing.summary.refused:
        raise SystemExit(FAILED)


def _guess(old: OldTable) -> Iterator[str]:
    yield f"reading {old.relation}:"
    for role, column in old.columns.items():
        zone = ", taken as UTC" if role == "created" and column.is_naive else ""
        yield f"  {role:<10}{column.name} ({column.kind}{zone})"
    if "processed" not in old.columns:
        yield "  every row, processed or not"


def _show(steps: Iterable[int], total: int) -> None:
    """Take all *steps*, and show the progress."""
    done = 0
    with shown_progress("rows") as shown:
        for step in steps:
            done += step
            shown(done, total)


def _report(summary: Summary, old: OldTable, *, applied: bool) -> Iterator[str]:
    yield f"{summary.imported} imported" if applied else f"{summary.imported} to import"
    if summary.parked:
        yield f"  of which {summary.parked} are parked until their user's email is known"
    if summary.refused:
        yield f"{summary.refused.total()} refused:"
    for reason, count in summary.refused.most_common():
        ids = summary.examples[reason]
        yield f"  {count} times {reason}"
        yield f"      {old.columns['id'].name} {', '.join(ids)}{', …' if count > len(ids) else ''}"
    if not applied:
        yield "nothing was written: --apply imports"
