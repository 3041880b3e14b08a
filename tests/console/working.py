"""The console as `python -m console` wires it, with a Kafka that has dead letters and takes every record.

Its workers do not answer. The commands that it starts do nothing.
"""

import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import quote_from_bytes

import httpx
import pytest
from fastapi import FastAPI

import console.control
import console.serve
from console.audit_log import AuditLog
from console.runs.run import RunRequest
from console.runs.runs import Runs
from runtime.clock import Clock
from tests.console.server import application, csrf_of
from tests.hostile.inputs import Input, octets
from tests.unit.console.test_console_dead_letters import Reader

URLENCODED = "application/x-www-form-urlencoded"


class Letters(Reader):
    """The dead letters of a few records, among them one whose payload can be corrected."""

    def __init__(self, *_: Any) -> None:
        super().__init__()

    async def stop(self) -> None:
        """Do nothing: there is no connection."""


class QuickRuns(Runs):
    """Runs whose commands have ended when they are shown."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        super().__init__(folder, clock, ["true"])

    def _begin(self, folder: Path, asked: RunRequest) -> subprocess.Popen[bytes]:
        process = super()._begin(folder, asked)
        process.wait()
        return process


async def _taken(*_: Any) -> None:
    return None


def working(folder: Path, monkeypatch: pytest.MonkeyPatch) -> FastAPI:
    """Return such a console."""
    monkeypatch.setattr(AuditLog, "_write", _taken)
    monkeypatch.setattr(console.control, "read_paused", _taken)
    monkeypatch.setattr(console.control, "publish_pause", _taken)
    monkeypatch.setattr(console.serve, "LettersReader", Letters)
    monkeypatch.setattr(console.serve, "Runs", QuickRuns)
    return application(folder)


def body_of(form: Iterable[tuple[str, Any]]) -> bytes:
    """Return a form with these names and values, which are parts; any octets may be in them."""
    quoted = ((quote_from_bytes(octets(part) or b"", safe="") for part in pair) for pair in form)
    return "&".join(map("=".join, quoted)).encode()


async def post(http: httpx.AsyncClient, one: Input) -> int:
    """Post the form of *one*, or its `body` of another `type`, in a session; return the status of the answer."""
    body = one.bytes("body") if one.get("body") else body_of(one["form"])
    headers = {"X-CSRF-Token": await csrf_of(http), "Content-Type": one.get("type", URLENCODED)}
    return (await http.post(one["path"], content=body, headers=headers)).status_code
