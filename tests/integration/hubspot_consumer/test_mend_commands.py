"""`python -m hubspot_consumer dead-letters mend`, as a process, on a real Kafka."""

import json
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from sandbox.stack import create_topics
from tests.integration.hubspot_consumer.test_dead_letters_commands import Prompt
from tests.kafka.dead_letters import headers
from tests.samples import PAYLOADS, envelope, value

ADA = b"ada@example.com"
EARNED = {name: each for name, each in PAYLOADS["nova_earned"].items() if name != "earned_at"}
CREATED = {name: each for name, each in PAYLOADS["merchant_contact_created"].items() if name != "created_at"}
LACKS_TIME = headers("1", reason="invalid_envelope")
OF_MERCHANT = headers("2", reason="invalid_envelope", event_type="merchant_contact_created", offset=43)
EVENTS = [
    (value(envelope(payload=EARNED)), LACKS_TIME),
    (value(envelope("merchant_contact_created", payload=CREATED)), OF_MERCHANT),
    (b"no JSON", headers("3", reason="invalid_envelope", offset=44)),
]


@pytest.fixture
async def prompt(kafka: Any, topic_prefix: str) -> Prompt:
    made = Prompt(kafka.bootstrap_servers, topic_prefix)
    await create_topics(kafka.bootstrap_servers, made.topics, 1)
    async with AIOKafkaProducer(bootstrap_servers=kafka.bootstrap_servers) as producer:
        for body, marks in EVENTS:
            await producer.send_and_wait(made.topics.dead_letters, body, ADA, headers=list(marks), partition=0)
    return made


async def resolutions(prompt: Prompt) -> bytes:
    """Return all bytes on the topic of resolutions."""
    servers = prompt.environment["KAFKA_BOOTSTRAP_SERVERS"]
    topic = prompt.topics.resolutions
    async with AIOKafkaConsumer(topic, bootstrap_servers=servers, auto_offset_reset="earliest") as consumer:
        found = await consumer.getmany(timeout_ms=5_000)
        return b"".join(record.value for records in found.values() for record in records)


async def test_a_dry_run_shows_what_is_wrong_and_the_difference_and_mends_nothing(prompt: Prompt) -> None:
    done = await prompt.run("mend", "0-0", "0-1", "--suggested", "--note", "a test", "--dry-run")

    assert (done.code, done.errors) == (0, "")
    assert done.output.splitlines()[:4] == [
        "dead letter 0-0, nova_earned of a***@example.com",
        "  wrong      payload.earned_at: Field required",
        '  + payload.earned_at: "2026-11-24T03:00:00.123456Z"',
        "  then it can be read",
    ]
    assert done.output.splitlines()[-1] == "nothing was mended: it was a dry run"
    assert (await prompt.listed())["0-0"]["mend"] is None


async def test_a_program_is_told_what_the_fields_were_as_json(prompt: Prompt) -> None:
    change = ["--set", "payload.amount_cents=700", "--set", "payload.earned_at=2026-11-24T03:00:00Z"]
    done = await prompt.run("mend", "0-0", *change, "--unset", "payload.user_id", "--note", "so", "--dry-run", "--json")

    assert json.loads(done.output)["was"] == {"amount_cents": "500", "user_id": '"usr_1"'}


async def test_a_mended_letter_stays_open_and_tells_its_changes_their_note_and_what_to_do(prompt: Prompt) -> None:
    change = ["--set", "payload.earned_at=2026-11-24T03:00:00Z", "--unset", "payload.x"]
    done = await prompt.run("mend", "0-0", *change, "--note", "as ada@example.com says", "--yes", "--json")
    told = (await prompt.listed())["0-0"]
    shown = await prompt.run("show", "0-0")

    assert (done.code, done.errors) == (0, "")
    assert json.loads(done.output)["readable"] is True
    note = "as a***@example.com says"
    assert told["mend"] == {"values": {"earned_at": "2026-11-24T03:00:00Z"}, "unset": ["x"], "note": note}
    assert (told["state"], told["open"], told["reason"], told["note"]) == ("mended", True, "invalid_envelope", note)
    assert told["do"] == "redrive --id 0-0"
    assert "payload.earned_at is 2026-11-24T03:00:00Z; payload.x left out" in shown.output
    assert set(await prompt.listed("--state", "mended")) == {"0-0"}
    assert b"ada@" not in await resolutions(prompt)


async def test_discarding_takes_the_mend_back(prompt: Prompt) -> None:
    await prompt.run("mend", "0-0", "--suggested", "--note", "a test", "--yes")
    await prompt.run("discard", "0-0", "--why", "a test", "--yes")

    told = (await prompt.listed("--state", "all"))["0-0"]
    again = await prompt.run("mend", "0-0", "--suggested", "--note", "a test", "--yes")

    assert (told["state"], told["mend"]) == ("discarded", None)
    assert (again.code, again.errors) == (1, "only open dead letters can be mended: 0-0 is discarded\n")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["0-0", "--yes", "--suggested"], 2, "--note"),
        (["0-0", "--note", " ", "--yes", "--suggested"], 2, "--note: say why"),
        (["0-0", "--note", "so", "--suggested"], 2, "pass --yes, or --dry-run"),
        (["0-0", "--note", "so", "--yes"], 2, "give the correction"),
        (["0-0", "--note", "so", "--yes", "--suggested", "--unset", "payload.x"], 2, "give the correction"),
        (["0-0", "--note", "so", "--yes", "--set", "sequence=7"], 2, "can't be corrected"),
        (["0-0", "--note", "so", "--yes", "--set", "totals.nova_earned_cents=7"], 2, "can't be corrected"),
        (["0-0", "--note", "so", "--yes", "--unset", "contact"], 2, "can't be corrected"),
        (["0-0", "--note", "so", "--yes", "--set", "payload.earned_at"], 2, "has no value"),
        (["0-0", "--note", "so", "--yes", "--set", "payload.earned_at=now"], 1, "payload.earned_at: Input should be"),
        (["0-0", "--note", "so", "--yes", "--set", "payload.session_id=x"], 1, "nothing was mended: faults remain"),
        (["0-1", "--note", "so", "--yes", "--set", "payload.name=Ada"], 1, "names a person"),
        (["0-0", "0-2", "--note", "so", "--yes", "--suggested"], 1, "0-2: the event suggests no correction"),
        (["0-0", "0-9", "--note", "so", "--yes", "--suggested"], 1, "no such dead letter: 0-9"),
    ],
)
async def test_what_can_not_be_mended_so_is_told_and_nothing_is_mended(
    prompt: Prompt, arguments: list[str], code: int, words: str
) -> None:
    done = await prompt.run("mend", *arguments)

    assert done.code == code
    assert words in done.errors
    assert {told["state"] for told in (await prompt.listed()).values()} == {"dead"}


async def test_whole_contacts_are_listed_only_where_they_are_asked_for(prompt: Prompt) -> None:
    masked, whole = await prompt.listed(), await prompt.listed("--show-contacts")

    assert masked["0-0"]["contact"] == "a***@example.com"
    assert whole["0-0"]["contact"] == "ada@example.com"
    assert whole["0-0"]["detail"] == "400: ada@example.com is invalid"
