"""`python -m hubspot_consumer dead-letters`: list, show, export and discard, as processes, on a real Kafka."""

import asyncio
import base64
import json
import os
import stat
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from sandbox.stack import create_topics
from schemas.contacts import ContactKey, contact_hash
from schemas.topics import Topics
from tests.commands import Done, run
from tests.kafka.dead_letters import DEBEZIUMS, headers
from tests.samples import envelope, value

ADA, BOB = b"ada@example.com", b"bob@example.com"
Event = tuple[bytes | None, bytes | None, Sequence[tuple[str, bytes]]]
EVENTS: dict[str, list[Event]] = {
    # By their partition: a worker that took over set 0-0 aside again.
    "0": [
        (ADA, value(envelope(sequence=12)), headers("1")),
        (ADA, b"no JSON by ada@example.com", headers("2", reason="invalid_envelope", event_type="nova_redeemed")),
        (ADA, value(envelope(sequence=12)), headers("1")),
    ],
    "1": [(BOB, b'{"a": null}', DEBEZIUMS), (b"\xff\xfe", b"\xfe", headers("", reason="missing_key"))],
}


class Prompt:
    """The commands of one test, and its topics."""

    def __init__(self, kafka: str, prefix: str) -> None:
        self.environment = {"KAFKA_BOOTSTRAP_SERVERS": kafka, "KAFKA_TOPIC_PREFIX": prefix}
        self.topics = Topics(prefix)

    async def run(self, *arguments: str) -> Done:
        return await run("hubspot_consumer", "dead-letters", *arguments, environment=self.environment)

    async def examined(self) -> dict[str, Any]:
        """Return what the doctor says of the dead letters."""
        done = await run("hubspot_consumer", "doctor", "--offline", "--json", environment=self.environment)
        [finding] = [one for one in json.loads(done.output)["findings"] if one["name"] == "dead_letters"]
        return dict(finding)

    async def listed(self, *arguments: str) -> dict[str, dict[str, Any]]:
        done = await self.run("list", "--json", *arguments)
        assert (done.code, done.errors) == (0, "")
        return {told["id"]: told for told in map(json.loads, done.output.splitlines())}


def names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


@pytest.fixture
async def prompt(kafka: Any, topic_prefix: str) -> AsyncIterator[Prompt]:
    made = Prompt(kafka.bootstrap_servers, topic_prefix)
    await create_topics(kafka.bootstrap_servers, made.topics, 2)
    async with AIOKafkaProducer(bootstrap_servers=kafka.bootstrap_servers) as producer:
        for partition, events in EVENTS.items():
            for key, body, marks in events:
                await producer.send_and_wait(
                    made.topics.dead_letters, body, key, headers=list(marks), partition=int(partition)
                )
        yield made


async def test_list_shows_each_event_once_and_counts_them_by_reason(prompt: Prompt) -> None:
    done = await prompt.run("list")

    assert (done.code, done.errors) == (0, "")
    lines = [line.split() for line in done.output.splitlines()]
    assert sorted(line[0] for line in lines[1:5]) == ["0-0", "0-1", "1-0", "1-1"]
    ada = ["0-0", "rejected_by_hubspot", "nova_earned", "a***@example.com", "12", "2024-11-24", "03:00:00", "1", "dead"]
    assert ada in lines
    assert ["1", "unknown_event_type"] in lines
    assert "ada@" not in done.output


async def test_list_as_json_tells_all_but_the_value_and_shows_no_whole_email(prompt: Prompt) -> None:
    told = (await prompt.listed())["0-0"]

    assert told["ids"] == ["0-0", "0-2"]
    assert (told["contact"], told["contact_hash"]) == ("a***@example.com", contact_hash(ContactKey("ada@example.com")))
    assert told["detail"] == "400: a***@example.com is invalid"
    assert (told["topic"], told["partition"], told["offset"]) == ("lifecycle.nova_earned", 3, 42)
    assert (told["failed_at"], told["state"], told["attempts"]) == ("2024-11-24T03:00:00+00:00", "dead", 1)


@pytest.mark.parametrize(
    ("arguments", "ids"),
    [
        (["--reason", "invalid_envelope", "--reason", "missing_key"], {"0-1", "1-1"}),
        (["--event-type", "nova_earned", "--event-type", "foo"], {"0-0", "1-0"}),
        (["--contact", "ADA@example.com"], {"0-0", "0-1"}),
        (["--contact", "ada@example.com", "--reason", "invalid_envelope"], {"0-1"}),
        (["--since", "1h"], {"1-0"}),
        (["--state", "discarded"], set()),
        (["--state", "all"], {"0-0", "0-1", "1-0", "1-1"}),
    ],
)
async def test_filters_narrow_the_list(prompt: Prompt, arguments: list[str], ids: set[str]) -> None:
    assert set(await prompt.listed(*arguments)) == ids


async def test_show_tells_everything_and_what_to_do_with_emails_masked_unless_revealed(prompt: Prompt) -> None:
    masked = await prompt.run("show", "0-2", "0-1", "1-1")
    revealed = await prompt.run("show", "0-2", "0-1", "1-1", "--reveal")

    assert (masked.code, revealed.code, masked.errors + revealed.errors) == (0, 0, "")
    assert "dead letter 0-0" in masked.output
    assert "2 times: 0-0, 0-2" in masked.output
    assert "dead_letter.detail" in masked.output
    assert '"new_balance_cents": 500' in masked.output
    assert "`provision` names what the portal lacks" in masked.output
    assert "1 bytes that are not text" in masked.output
    assert "ada@" not in masked.output
    assert '"email": "ada@example.com"' in revealed.output
    assert "no JSON by ada@example.com" in revealed.output
    assert "400: ada@example.com is invalid" in revealed.output
    assert base64.b64encode(b"\xff\xfe").decode() in revealed.output


async def test_export_writes_every_record_as_it_is_and_writes_over_nothing(prompt: Prompt, tmp_path: Path) -> None:
    file = tmp_path / "dead.jsonl"

    first = await prompt.run("export", str(file))
    again = await prompt.run("export", str(file))
    forced = await prompt.run("export", str(file), "--force", "--contact", "bob@example.com")
    printed = await prompt.run("export")

    lines = [json.loads(line) for line in printed.output.splitlines()]
    by_id = {told["id"]: told for told in lines}
    assert (first.code, forced.code, printed.code) == (0, 0, 0)
    assert (again.code, "--force" in again.errors) == (2, True)
    assert set(by_id) == {"0-0", "0-1", "0-2", "1-0", "1-1"}
    assert by_id["0-2"]["ids"] == ["0-0", "0-2"]
    assert by_id["0-0"]["key"] == "ada@example.com"
    assert by_id["0-0"]["value"].encode() == EVENTS["0"][0][1]
    assert [(each["name"], each["value"].encode()) for each in by_id["0-0"]["headers"]] == headers("1")
    assert base64.b64decode(by_id["1-1"]["key_base64"]) == b"\xff\xfe"
    assert base64.b64decode(by_id["1-1"]["value_base64"]) == b"\xfe"
    assert [json.loads(line)["id"] for line in file.read_text().splitlines()] == ["1-0"]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert names_in(tmp_path) == ["dead.jsonl"]


async def test_export_says_which_file_it_can_not_write(prompt: Prompt, tmp_path: Path) -> None:
    done = await prompt.run("export", str(tmp_path / "none" / "dead.jsonl"))

    assert done.code == 1
    assert done.errors.startswith("FILE: ")
    assert "No such file or directory" in done.errors
    assert "before it was finished" not in done.errors


@pytest.mark.parametrize("command", [["list", "--json"], ["export"]])
async def test_whoever_reads_no_more_is_no_fault_of_kafka(prompt: Prompt, command: list[str]) -> None:
    reads, writes = os.pipe()
    os.close(reads)
    arguments = [sys.executable, "-m", "hubspot_consumer", "dead-letters", *command]
    environment = os.environ | prompt.environment

    process = await asyncio.create_subprocess_exec(*arguments, env=environment, stdout=writes, stderr=PIPE)
    os.close(writes)
    _, errors = await asyncio.wait_for(process.communicate(), 60)

    assert process.returncode == 141
    assert b"Error" not in errors
    assert b"KAFKA" not in errors


async def test_discard_settles_an_event_with_all_its_ids(prompt: Prompt) -> None:
    done = await prompt.run("discard", "0-2", "--why", "a test of ada@example.com", "--yes")

    assert (done.code, done.errors) == (0, "")
    assert done.output.splitlines()[-1] == "1 discarded"
    assert set(await prompt.listed()) == {"0-1", "1-0", "1-1"}
    discarded = (await prompt.listed("--state", "discarded"))["0-0"]
    assert (discarded["state"], discarded["note"]) == ("discarded", "a test of a***@example.com")
    again = await prompt.run("discard", "0-0", "--why", "again", "--yes")
    assert (again.code, "0-0 is already discarded: a test of a***@example.com" in again.output) == (0, True)


async def test_discard_by_filters_takes_what_is_open_alone(prompt: Prompt) -> None:
    await prompt.run("discard", "0-1", "--why", "first", "--yes")
    done = await prompt.run("discard", "--contact", "ada@example.com", "--why", "second", "--yes")

    assert done.output.splitlines()[-1] == "1 discarded"
    notes = {name: told["note"] for name, told in (await prompt.listed("--state", "discarded")).items()}
    assert notes == {"0-1": "first", "0-0": "second"}


async def test_a_dry_run_lists_what_would_be_discarded_and_settles_nothing(prompt: Prompt) -> None:
    done = await prompt.run("discard", "--reason", "invalid_envelope", "--why", "a test", "--dry-run")

    assert done.code == 0
    assert "0-1" in done.output
    assert done.output.splitlines()[-1] == "nothing was discarded: it was a dry run"
    assert len(await prompt.listed()) == 4


async def test_a_program_is_told_how_many_by_reason_and_what_came_later_is_not_discarded(prompt: Prompt) -> None:
    # What has no time of its own was set aside just now.
    which = ["--until", "2025-01-01T00:00:00.000000Z", "--why", "so", "--json"]
    planned = json.loads((await prompt.run("discard", *which, "--dry-run")).output)
    done = json.loads((await prompt.run("discard", *which, "--yes")).output)

    reasons = {"invalid_envelope": 1, "missing_key": 1, "rejected_by_hubspot": 1}
    assert planned == {"plan": {"dead_letters": 3, "contacts": 1, "reasons": reasons}, "discarded": 0}
    assert done == {**planned, "discarded": 3}
    assert set(await prompt.listed()) == {"1-0"}


async def test_the_doctor_counts_those_that_are_open_and_says_where_to_look(prompt: Prompt) -> None:
    before = await prompt.examined()
    discarded = await prompt.run("discard", "0-0", "0-1", "1-0", "1-1", "--why", "tests", "--yes")
    after = await prompt.examined()

    assert before["level"] == "warn"
    assert before["what"].startswith("4 open, the newest ")
    assert "unknown_event_type: no topic takes a row of this type" in before["what"]
    assert "dead-letters list" in before["do"]
    assert (discarded.code, after["level"], after["what"]) == (0, "ok", "no dead letter is open")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["discard", "0-0", "--yes"], "--why"),
        (["discard", "0-0", "--why", " ", "--yes"], "--why: say why"),
        (["discard", "0-0", "--why", "so"], "pass --yes, or --dry-run"),
        (["discard", "--why", "so", "--yes"], "name some"),
        (["discard", "0-0", "--reason", "too_large", "--why", "so", "--yes"], "name some"),
        (["list", "--since", "yesterday"], "--since: 'yesterday' is not a time"),
        (["list", "--contact", "ada"], "--contact: "),
        (
            ["list", "--state", "sold"],
            "--state: no such state: sold; there are dead, mended, redriven, discarded, and all",
        ),
    ],
)
async def test_what_is_asked_wrongly_ends_with_2_and_settles_nothing(
    prompt: Prompt, arguments: list[str], words: str
) -> None:
    done = await prompt.run(*arguments)

    assert (done.code, done.output) == (2, "")
    assert words in done.errors


@pytest.mark.parametrize("command", [["show"], ["discard", "--why", "so", "--yes"]])
async def test_an_id_that_nobody_knows_ends_with_1_and_settles_nothing(prompt: Prompt, command: list[str]) -> None:
    done = await prompt.run(*command, "0-0", "0-99", "sold")

    assert (done.code, done.output) == (1, "")
    assert done.errors == "no such dead letter: 0-99, sold: see `dead-letters list --state all`\n"
    assert len(await prompt.listed()) == 4


async def test_only_the_settings_of_kafka_are_needed(prompt: Prompt) -> None:
    prompt.environment |= {"HUBSPOT_SEND_LIVE": "true"}
    well = await prompt.run("list")
    del prompt.environment["KAFKA_BOOTSTRAP_SERVERS"]
    unset = await prompt.run("list")
    prompt.environment["KAFKA_BOOTSTRAP_SERVERS"] = "127.0.0.1:1"
    nobody = await prompt.run("list")

    assert well.code == 0
    assert (unset.code, unset.errors) == (2, "KAFKA_BOOTSTRAP_SERVERS: is not set: comma separated, as host:port\n")
    assert nobody.code == 1
    assert "KAFKA_BOOTSTRAP_SERVERS: no broker answers" in nobody.errors
    assert "Traceback" not in nobody.errors


async def test_without_the_topic_it_says_what_to_run(prompt: Prompt) -> None:
    prompt.environment["KAFKA_TOPIC_PREFIX"] = "none."

    done = await prompt.run("list")

    assert done.code == 1
    assert done.errors == "no dead letters' topic none.dead_letters: run `python -m producer topics`\n"


async def test_without_dead_letters_it_says_so(prompt: Prompt) -> None:
    done = await prompt.run("list", "--reason", "too_large")

    assert (done.code, done.output) == (0, "no matching dead letters\n")
