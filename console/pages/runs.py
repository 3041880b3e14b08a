"""The run page: a run's command, progress and result, and the next actions.

Pages with actions share its check of typed texts, and the start of runs.
"""

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import RedirectResponse, Response

from console.audit_log import AuditLog
from console.control import Control
from console.dead_letters.difference import differences_in
from console.runs.run import Kind, StartedRun
from console.runs.runs import AnotherGoesOn, Runs
from console.shared_settings import AT_HUBSPOT, ON_KAFKA
from console.web.view import View
from hubspot_consumer.cli.gates import LONGEST_WORDS
from schemas.contacts import shortened
from schemas.texts import LONGEST_KEPT, encodable

TITLES: Final[Mapping[Kind, str]] = {
    "replay_plan": "Plan of a replay",
    "replay": "Replay",
    "redrive_plan": "Dry run of a redrive",
    "redrive": "Redrive",
    "mend_plan": "Dry run of a correction",
    "mend": "Correction",
    "discard_plan": "Dry run of a discard",
    "discard": "Discard",
    "doctor": "The doctor",
    "resync_plan": "Dry run of a resync",
    "resync": "Resync",
}
# The settings that the workers must share with a run. The doctor is to find differences, so it always starts.
_SHARED_BY: Final[Mapping[Kind, Sequence[str]]] = {
    "replay_plan": AT_HUBSPOT,
    "replay": AT_HUBSPOT,
    "redrive_plan": AT_HUBSPOT,
    "redrive": AT_HUBSPOT,
    "resync_plan": AT_HUBSPOT,
    "resync": AT_HUBSPOT,
    "mend_plan": ON_KAFKA,
    "mend": ON_KAFKA,
    "discard_plan": ON_KAFKA,
    "discard": ON_KAFKA,
}
# A plan or dry run writes nothing: it starts in any case, and its page shows the differences.
_WRITES_NOTHING: Final = frozenset({"replay_plan", "redrive_plan", "resync_plan", "mend_plan", "discard_plan"})
# Control characters (Cc), as an argument can't contain NUL, and surrogates (Cs), which can't be encoded.
_UNFIT: Final = frozenset({"Cc", "Cs"})


def run_pages(view: View, runs: Runs, actions: AuditLog) -> APIRouter:
    """Return the page's routes. The fragment `/runs/{id}/live` is polled every second while the run goes on."""
    router = APIRouter()

    def known(run_id: str) -> StartedRun:
        run = runs.of(run_id)
        if run is None:
            raise HTTPException(404, "there is no such run; only the newest 200 are kept")
        return run

    def about(run: StartedRun) -> dict[str, Any]:
        return {"run": run, "title": TITLES[run.asked.kind], "differences": differences_in(run.report)}

    @router.get("/runs/{run_id}")
    async def page(request: Request, run_id: str) -> Response:
        run = known(run_id)
        return view.page(request, "run.html", **about(run))

    @router.get("/runs/{run_id}/live")
    async def live(request: Request, run_id: str) -> Response:
        run = known(run_id)
        return view.page(request, "run_live.html", **about(run))

    @router.post("/runs/{run_id}/stop")
    async def stop(request: Request, run_id: str) -> Response:
        run = known(run_id)
        async with actions.action(request, "stop", run=run.id, kind=run.asked.kind):
            run.stop()
        return to_run(run)

    return router


def words_of(name: str, typed: Any, longest: int = LONGEST_WORDS) -> str:
    """Return the trimmed text of the field *name*.

    Raises HTTPException 400 if it has control characters or more than *longest* characters.
    """
    words = str(typed or "").strip()
    if len(words) > longest:
        raise HTTPException(400, f"{name} should have at most {longest} characters; it has {len(words):,}")
    if any(unicodedata.category(each) in _UNFIT for each in words):
        raise HTTPException(400, f"{name} should be one line, without control characters")
    return words


@dataclass(frozen=True)
class RunStarter:
    """Starts runs for people, each recorded in the audit log. A run that writes has to share settings with workers."""

    runs: Runs
    actions: AuditLog
    control: Control

    async def start(self, request: Request, kind: Kind, arguments: Sequence[str], form: Mapping[str, Any]) -> Response:
        """Start a run and redirect to its page, or to that of a run that blocks it.

        Raises OtherSettings if a worker would not share the settings, NotNoted, and HTTPException 503.
        """
        try:
            async with self.actions.action(request, kind, **without_emails_of(form)) as outcome:
                notices: Sequence[str] = ()
                if names := _SHARED_BY.get(kind):
                    refuse = kind not in _WRITES_NOTHING
                    notices = await self.control.compare_settings(names, outcome, refuse=refuse)
                run = self.runs.start(kind, arguments, request.state.person.name, form, notices)
                outcome["run"] = run.id
        except OSError as error:
            raise HTTPException(503, f"CONSOLE_FOLDER: no command can be started there: {error.strerror}") from error
        except AnotherGoesOn as another:
            return RedirectResponse(f"/runs/{another.run.id}?instead=1", status_code=303)
        return to_run(run)


def without_emails_of(form: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a form as the audit log may keep them for ever: a person may type an email into any."""
    return {name: _masked(value) for name, value in form.items()}


def _masked(value: Any) -> Any:
    match value:
        case str():
            return shortened(encodable(value), LONGEST_KEPT)
        case list() | tuple():
            return [_masked(each) for each in value]
        case _:
            return value


def to_run(run: StartedRun) -> RedirectResponse:
    return RedirectResponse(f"/runs/{run.id}", status_code=303)
