"""The diagram of the architecture shows what is there: Compose's services, rooms of the packages, and topics."""

from pathlib import Path

import pytest
from ruamel.yaml import YAML

from schemas.topics import Topics
from tests.foreign.mermaid import Flowchart, diagrams, flowchart

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def drawn() -> Flowchart:
    [source] = diagrams(ROOT / "docs" / "architecture.md")
    return flowchart(source)


def inside(drawn: Flowchart, group: str) -> dict[str, str]:
    return {node: label for node, label in drawn.nodes.items() if drawn.group_of[node] == group}


def test_its_parts_are_the_services_of_compose_the_backend_and_the_portal(drawn: Flowchart) -> None:
    services = YAML(typ="safe").load((ROOT / "docker-compose.yml").read_text())["services"]

    assert drawn.groups.keys() | inside(drawn, "").keys() == {
        *("backend", "postgres", "producer", "kafka", "consumer", "console", "portal")
    }
    assert services.keys() >= {"postgres", "producer", "kafka", "consumer", "console"}


@pytest.mark.parametrize(("group", "package"), [("producer", "producer"), ("consumer", "hubspot_consumer")])
def test_what_a_service_consists_of_is_rooms_of_its_package(drawn: Flowchart, group: str, package: str) -> None:
    rooms = inside(drawn, group)

    assert [room for room in rooms if not (ROOT / package / room).is_dir()] == []
    assert [label for room, label in rooms.items() if label.partition(":")[0] != room] == []
    assert (ROOT / package / "__main__.py").exists()
    assert drawn.groups[group].split()[0] == package


def test_its_topics_are_those_of_the_contract(drawn: Flowchart) -> None:
    topics = Topics()

    assert inside(drawn, "kafka") == {
        "events": topics.of("EVENT_TYPE"),
        **{name: getattr(topics, name) for name in ("dead_letters", "deliveries", "controls")},
    }


def test_its_table_is_the_outbox(drawn: Flowchart) -> None:
    [table] = inside(drawn, "postgres").values()
    migrations = (ROOT / "producer" / "migrations" / "versions").glob("*.sql")

    assert any(f"CREATE TABLE {table} (" in path.read_text() for path in migrations)


def test_arrows_join_what_is_drawn_and_leave_nothing_alone(drawn: Flowchart) -> None:
    named = {end for arrow in drawn.arrows for end in arrow}

    assert named <= drawn.nodes.keys() | drawn.groups.keys()
    assert drawn.nodes.keys() <= named
