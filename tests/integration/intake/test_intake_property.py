"""Whatever is sent to the intake: never a fault of ours, a row for each event that was answered, and no other."""

import asyncio
import json
from typing import Any
from uuid import uuid4

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from schemas.events import EVENT_TYPES
from tests.examples import examples
from tests.outbox.intake import Caller
from tests.samples import PAYLOADS

# Halves of surrogate pairs, NUL, and everything else that JSON can say.
TEXT = st.text(st.characters(), max_size=20) | st.sampled_from(
    ["\ud800", "a\0", "ada@example.com", "\ufeff", "x" * 300]
)
NUMBERS = st.integers() | st.floats() | st.sampled_from([10**400, 2**63, -(2**63), 1e400, 253402300800, -1e20])
LEAVES = (
    st.none() | st.booleans() | NUMBERS | TEXT | st.sampled_from(["2026-11-24T03:00:00Z", "0001-01-01T00:00+14:00"])
)
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3), max_leaves=8
)
HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "Occurred-At": st.text(st.characters(codec="latin-1", exclude_categories=["Cc"]), max_size=30)
        | st.sampled_from(["2026-11-24T03:00:00Z", "0001-01-01T00:00:00+14:00", "1e400", "-62135596801"]),
        "traceparent": st.text(st.characters(codec="latin-1", exclude_categories=["Cc"]), max_size=60),
    },
)


@st.composite
def payloads(draw: st.DrawFn) -> tuple[str, Any]:
    """A sample with some of its fields changed, left out or added."""
    event_type = draw(st.sampled_from(EVENT_TYPES))
    payload = dict(PAYLOADS[event_type])
    for field in draw(st.lists(st.sampled_from(sorted(payload)) | TEXT, max_size=2)):
        if draw(st.booleans()):
            payload[field] = draw(VALUES)
        else:
            payload.pop(field, None)
    return event_type, payload


@st.composite
def items(draw: st.DrawFn) -> Any:
    event_type, payload = draw(payloads())
    item = {"type": event_type, "payload": payload}
    return item | draw(
        st.dictionaries(st.sampled_from(["type", "occurred_at", "traceparent", "x"]), VALUES, max_size=1)
    )


async def _post(caller: Caller, path: str, body: bytes, headers: dict[str, str], *, how_many: int) -> None:
    await caller.asked("TRUNCATE outbox_events, outbox_parked, outbox_contacts, outbox_directory")
    answer = await caller.http.post(
        path,
        content=body,
        headers=[
            (name.encode(), value.encode("latin-1"))
            for name, value in ({"Content-Type": "application/json", "Idempotency-Key": str(uuid4())} | headers).items()
        ],
    )

    assert answer.status_code == 202 or 400 <= answer.status_code < 500, answer.text
    ids = sorted(await caller.ids())
    if answer.status_code != 202:
        assert ids == []
    elif how_many == 1 and "id" in answer.json():
        assert ids == [answer.json()["id"]]
    else:
        assert ids == sorted(answer.json()["ids"])
        assert len(ids) == how_many


SLOW = settings(max_examples=examples(150), suppress_health_check=[HealthCheck.function_scoped_fixture])


@SLOW
@given(payloads(), HEADERS)
def test_an_odd_payload_is_taken_once_or_refused(
    runner: asyncio.Runner, caller: Caller, event: tuple[str, Any], headers: dict[str, str]
) -> None:
    event_type, payload = event
    runner.run(_post(caller, f"/v1/events/{event_type}", json.dumps(payload).encode(), headers, how_many=1))


@SLOW
@given(st.lists(items() | VALUES, max_size=4))
@example([{"type": "nova_earned", "payload": PAYLOADS["nova_earned"]}] * 3)
def test_an_odd_batch_is_taken_whole_or_refused(runner: asyncio.Runner, caller: Caller, batch: list[Any]) -> None:
    runner.run(_post(caller, "/v1/events:batch", json.dumps(batch).encode(), {}, how_many=len(batch)))


@SLOW
@given(st.binary(max_size=200) | VALUES.map(lambda value: json.dumps(value).encode()))
@example(b"[" * 5_000)
@example(b"9" * 5_000)
def test_odd_octets_are_refused(runner: asyncio.Runner, caller: Caller, body: bytes) -> None:
    runner.run(_post(caller, "/v1/events/nova_earned", body, {}, how_many=0))
    runner.run(_post(caller, "/v1/events:batch", body, {}, how_many=0))
