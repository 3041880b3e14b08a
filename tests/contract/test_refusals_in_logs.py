"""A refusal with a long body full of emails and tokens: what is told of it is short, and holds none of them."""

import json
import logging
from typing import Any

import httpx
import pytest
import structlog

from runtime import logs
from sandbox.hubspot.faults.faults import Fault, StatusAnswer
from schemas.envelope import read_envelope
from tests.clock import run_fast
from tests.contract.delivering import DeadLetterTopic, Unreliable, Worker
from tests.contract.test_delivery_property import portal_of_ours
from tests.samples import TOKEN, envelope, value

pytestmark = pytest.mark.usefixtures("own_logs")

SOMEBODY, ADA = "somebody.else@example.com", "ada@example.com"
THE_END = "the end of the body"
# Six in a row are an outage where they are 5xx, and afterwards the event arrives.
REFUSALS = 6
WORDS = f"{SOMEBODY} is wrong, said Bearer {TOKEN}; " * 2_000 + THE_END
ERROR = {
    "category": "VALIDATION_ERROR",
    "message": WORDS,
    "context": {"ids": [WORDS], "propertyName": ["nerava_role", WORDS], "requiredGranularScopes": [WORDS]},
}
BODIES = {
    "an error": json.dumps({"status": "error", **ERROR}),
    "what the message does not say": json.dumps({**ERROR, "message": "", "category": WORDS, "errors": [ERROR]}),
    "properties that are not there": json.dumps(
        {**ERROR, "errors": [{**ERROR, "code": "PROPERTY_DOESNT_EXIST"}, {**ERROR, "code": "READ_ONLY_VALUE"}]}
    ),
    "inputs that were refused": json.dumps({"status": "COMPLETE", "results": [], "errors": [ERROR]}),
    "a page": f"<html><h1>{WORDS}</h1></html>",
    "text": WORDS,
    "halves of pairs": json.dumps({**ERROR, "message": "\ud800 " + WORDS, "category": "\udfff", "errors": [ERROR]}),
    "one long word": json.dumps({**ERROR, "message": "e" * 500_000 + WORDS}),
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
@pytest.mark.parametrize("status", [207, 400, 401, 403, 404, 409, 429, 500])
def test_nothing_of_a_body_is_told_whole(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], status: int, body: str
) -> None:
    told: list[str] = []
    calls = 0

    def refuse(_: Unreliable, _request: httpx.Request, _answer: str) -> Fault | None:
        nonlocal calls
        calls += 1
        return Fault(answer=StatusAnswer(status=status, body=body)) if calls <= REFUSALS else None

    async def put(_: DeadLetterTopic, _topic: str, *, headers: list[tuple[str, bytes]], **_record: Any) -> None:
        told.extend(text.decode() for _, text in headers)

    monkeypatch.setattr(Unreliable, "_fault", refuse)
    monkeypatch.setattr(DeadLetterTopic, "send_and_wait", put)
    logs.set_up(level=logging.DEBUG)
    # The modules' own loggers would keep this test's stderr for ever.
    structlog.configure(cache_logger_on_first_use=False)
    event = read_envelope(ADA.encode(), value(envelope("driver_signed_up", email=ADA)))

    run_fast(Worker(portal_of_ours(), [], seed=1)._deliver([event], [0]))

    lines = capsys.readouterr().err.splitlines()
    assert any("hubspot.refused" in line for line in lines) or status == 207
    assert calls > 1
    assert max(map(len, [*lines, *told])) < 1_000
    for line in (*lines, *told):
        assert "somebody.else" not in line
        assert TOKEN not in line
        assert THE_END not in line
