"""Pages about records that somebody has written to the topics by hand: they are shown, and nothing of them runs."""

import json
from pathlib import Path
from typing import Any

import pytest

import console.serve
from console.contacts.index import Index, Reached
from console.contacts.index_rows import rows_of
from tests.console.server import Visitor, application
from tests.console.working import Letters
from tests.kafka.dead_letters import letters
from tests.kafka.kafka_records import TOPICS, KafkaRecord
from tests.pipeline import OPERATOR_TOKEN
from tests.samples import envelope

SCRIPT = "<script>alert(1)</script>"
EMAIL = f"{SCRIPT.replace('/', '-')}@example.com"
TIMES = [
    ("9999-12-31T23:59:59-12:00", 2**63 - 1),
    ("0001-01-01T00:00:00+14:00", -(2**63)),
    ("1969-12-31T23:59:59Z", -1),
    ("2026-11-24T03:00:00Z", 1_795_489_200_000),
]


def records(moment: str, timestamp: int) -> list[KafkaRecord]:
    """Return an event, its receipt, its dead letter and a resolution with a script in each text, at these times."""
    topic, key, script = "lifecycle.nova_earned", EMAIL.encode(), SCRIPT.encode()
    about = {"type": SCRIPT, "topic": topic, "partition": 0, "offset": 0, "attempts": 1, "event_id": SCRIPT}
    receipt = {
        **about,
        "sequence": 1,
        "outcome": "dead_lettered",
        "at": moment,
        "published_at": moment,
        "contact_id": f"javascript:alert(1)//{SCRIPT}",
        "properties": [SCRIPT],
        "reason": SCRIPT,
        "detail": SCRIPT,
    }
    event = envelope(sequence=1, email=EMAIL) | {"contact": {"email": EMAIL, "external_id": SCRIPT}}
    said = [(f"dead_letter.{name}", script) for name in ("reason", "detail")]
    place = [("dead_letter.topic", topic.encode()), ("dead_letter.partition", b"0"), ("dead_letter.offset", b"0")]
    others = [("dead_letter.failed_at", moment.encode()), ("id", script), ("type", script), (SCRIPT, script)]
    resolution = {"state": "discarded", "at": moment, "note": SCRIPT, "run": SCRIPT}
    set_aside_at = [("set_aside_at", str(timestamp).encode())]
    headers = [("id", script), ("sequence", b"1"), ("traceparent", script)]
    return [
        KafkaRecord(topic, 0, 0, timestamp, key, json.dumps(event).encode(), headers),
        KafkaRecord(TOPICS.deliveries, 0, 0, timestamp, key, json.dumps(receipt).encode()),
        KafkaRecord(TOPICS.dead_letters, 0, 0, timestamp, key, script, [*said, *place, *others]),
        KafkaRecord(TOPICS.resolutions, 0, 0, timestamp, b"0-0", json.dumps(resolution).encode(), set_aside_at),
    ]


def index(folder: Path, found: list[KafkaRecord]) -> None:
    index = Index(folder)
    index.open()
    index.add(rows_of(found, TOPICS), {(each.topic, each.partition): Reached(0, 1, 0) for each in found})
    index.close()


@pytest.mark.parametrize(("moment", "timestamp"), TIMES)
@pytest.mark.parametrize("asked", [EMAIL, SCRIPT])
async def test_the_page_of_a_contact_shows_them(tmp_path: Path, asked: str, moment: str, timestamp: int) -> None:
    index(tmp_path, records(moment, timestamp))
    visitor = Visitor(application(tmp_path))
    await visitor.sign_in(OPERATOR_TOKEN)

    answer = await visitor.http.get("/contacts", params={"q": asked})

    assert answer.status_code == 200
    assert 'data-sequence="1"' in answer.text
    assert not _runs(answer.text)


@pytest.mark.parametrize(("moment", "timestamp"), TIMES)
async def test_the_pages_of_dead_letters_show_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str, timestamp: int
) -> None:
    letter = records(moment, timestamp)[2]

    class Reader(Letters):
        def __init__(self, *_: Any) -> None:
            super().__init__()
            self.show(letter, letters([letter])[0])

    monkeypatch.setattr(console.serve, "LettersReader", Reader)
    visitor = Visitor(application(tmp_path))
    await visitor.sign_in(OPERATOR_TOKEN)
    for path in ("/dead-letters", "/dead-letters/0-0", "/dead-letters?state=all"):
        answer = await visitor.http.get(path)

        assert answer.status_code == 200
        assert "&lt;script&gt;" in answer.text
        assert not _runs(answer.text)


def _runs(page: str) -> bool:
    return SCRIPT in page or 'href="javascript' in page
