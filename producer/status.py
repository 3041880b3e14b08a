"""Status: the producer's state and settings, for a person."""

from collections.abc import Callable, Mapping
from typing import Any

from fastapi import FastAPI


def add_status(
    app: FastAPI, *, relay_active: Callable[[], bool], unwell: Callable[[], Mapping[str, str]], settings: dict[str, Any]
) -> None:
    """Add `GET /v1/status` to *app*. The answer contains no secret."""

    @app.get("/v1/status")
    async def report() -> dict[str, Any]:
        relay = "active" if relay_active() else "standby"
        return {"relay": relay, "unwell": dict(unwell()), "settings": settings}
