"""The table of rights on Kafka: the document has it, and it names every topic."""

from pathlib import Path

from runtime.kafka.acls import PROGRAMS, commands
from schemas.topics import Topics

DOCUMENT = Path(__file__).parents[4] / "docs/kafka-acls.md"
TOPICS = Topics("mine.")


def test_the_document_has_the_table_of_the_code() -> None:
    rows = [line for line in DOCUMENT.read_text("utf-8").splitlines() if line.startswith("| `nerava-")]

    assert rows == [program.row for program in PROGRAMS]


def test_every_topic_has_a_writer_and_a_reader() -> None:
    for named in ("reads", "writes"):
        topics = {topic for program in PROGRAMS for topic in program.topics(TOPICS, getattr(program, named))}
        assert topics == set(TOPICS.all)


def test_only_the_relay_writes_events() -> None:
    assert [one.user for one in PROGRAMS if set(TOPICS.events) & set(one.topics(TOPICS, one.writes))] == [
        "nerava-relay"
    ]


def test_the_commands_name_whole_topics_and_the_group() -> None:
    lines = [*commands(TOPICS, "a-group", "broker:9092")]

    relays = next(line for line in lines if "User:nerava-relay" in line)
    assert "--operation Write" in relays
    assert "--topic mine.nova_earned" in relays
    assert "mine.holds" not in relays
    assert "Read" not in relays
    assert sum("--group a-group" in line for line in lines) == 3
    assert all(line.startswith(("# ", "kafka-acls.sh --bootstrap-server broker:9092 --add ")) for line in lines)
