"""The runs that people of that console have started, as the files that they left."""

import fcntl
import json
import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

from console.runs.run import ASKED, CODE, ERR, LOCK, OUT
from tests.console.still.clock import NOW
from tests.console.still.records import ADAS_LETTER

SINCE = (NOW - timedelta(hours=24)).isoformat()
REPLAY = {"from": "since", "since": SINCE, "until": "", "types": ["nova_earned"], "share": 30, "timeline": True}
PLAN = {
    "events_read": 86_412,
    "events": 61_930,
    "contacts": 9_204,
    "unreadable": 6,
    "unmapped": 0,
    "unmapped_examples": [],
    "calls": {"upsert": 93, "timeline": 620},
    "takes_s": 238,
}
FINDINGS = [
    ("token", "ok", "accepted by https://api.hubapi.com", ""),
    ("lag", "ok", "40 events are not acked", ""),
    ("sending", "ok", "not halted", ""),
    ("dead_letters", "warn", "20 are open", "look at them in the console, mend or discard them"),
]


def leave(folder: Path, opened: ExitStack) -> Mapping[str, str]:
    """Leave runs in *folder*; return their ids by name. The one that still goes on does until *opened* is closed."""
    doctor = {
        "exit_code": 1,
        "findings": [dict(zip(("name", "level", "what", "do"), each, strict=True)) for each in FINDINGS],
    }
    going_on: list[Mapping[str, Any]] = [
        {"plan": PLAN},
        *({"part": "contacts", "done": done, "total": 9_204, "after_s": done / 38} for done in (2_160, 2_640, 3_120)),
    ]
    return {
        "doctor": _left(folder, "doctor", 3, ["doctor", "--json"], {}, doctor, code=1),
        "replay_plan": _left(
            folder, "replay_plan", 2, ["replay", f"--since={SINCE}", "--dry-run"], REPLAY, {"plan": PLAN}
        ),
        "redrive_plan": _left(
            folder,
            "redrive_plan",
            1,
            ["redrive", f"--id={ADAS_LETTER}", "--dry-run"],
            {"ids": [ADAS_LETTER]},
            {"plan": {"dead_letters": 1, "contacts": 1, "reasons": {"invalid_envelope": 1}, "unreadable": []}},
        ),
        "replay": _left(
            folder, "replay", 0.05, ["replay", f"--since={SINCE}", "--yes"], REPLAY, going_on=going_on, opened=opened
        ),
    }


def _left(
    folder: Path,
    kind: str,
    hours: float,
    arguments: Sequence[str],
    form: Mapping[str, Any],
    report: Mapping[str, Any] | None = None,
    *,
    code: int = 0,
    going_on: Sequence[Mapping[str, Any]] = (),
    opened: ExitStack | None = None,
) -> str:
    began = NOW - timedelta(hours=hours)
    run = folder / "runs" / f"{began:%Y%m%dT%H%M%S}-000000-{kind}"
    run.mkdir(parents=True)
    asked = {"kind": kind, "arguments": arguments, "who": "operator token", "began": began.isoformat(), "form": form}
    (run / ASKED).write_text(json.dumps(asked))
    (run / OUT).write_text(json.dumps(report) if report else "")
    (run / ERR).write_text("".join(f"{json.dumps(each)}\n" for each in going_on))
    lock = (run / LOCK).open("wb")
    if opened is not None:
        fcntl.flock(opened.enter_context(lock), fcntl.LOCK_EX)
        return run.name
    lock.close()
    (run / CODE).write_text(str(code))
    ended = (began + timedelta(seconds=7)).timestamp()
    os.utime(run / CODE, (ended, ended))
    return run.name
