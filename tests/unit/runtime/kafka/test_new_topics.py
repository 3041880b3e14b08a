"""New topics, without a broker: what is asked for them, and brokers that are in no state to create any."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import TopicAuthorizationFailedError
from aiokafka.protocol.metadata import MetadataRequest_v5
from structlog.testing import capture_logs

from runtime.kafka import new_topics
from runtime.kafka.connection import KafkaConnection
from runtime.kafka.new_topics import Found, TopicsNotReady, create, make_sure_of
from runtime.kafka.topic_settings import asked_of, creates_what_is_asked_about, differences, verdict
from schemas.topics import Topics

TOPICS = Topics()
UNKNOWN = "min.insync.replicas is unknown, because the brokers do not report it; should be 2, or more but not all"


class Brokers:
    """An admin client of brokers that hold topics with so many *copies*, and report *settings* of each of them."""

    def __init__(self, copies: Mapping[str, int], settings: Mapping[str, str] | None = None) -> None:
        self.copies: dict[str, int] = dict(copies)
        self.settings: Mapping[str, str] = settings or {}
        self.created: dict[str, NewTopic] = {}
        self.silent = False

    async def _send_request(self, request: Any) -> Any:
        asked = request.build(MetadataRequest_v5).to_object()["topics"]
        return SimpleNamespace(to_object=lambda: {"topics": [self._described(name) for name in asked]})

    def _described(self, name: str) -> dict[str, Any]:
        if name not in self.copies:
            return {"topic": name, "error_code": 3, "partitions": []}
        parts = [{"partition": 0, "leader": 1, "replicas": list(range(self.copies[name]))}]
        return {"topic": name, "error_code": 0, "partitions": parts}

    async def create_topics(self, new: list[NewTopic]) -> Any:
        for one in new:
            self.created[one.name] = one
            self.copies[one.name] = one.replication_factor
        return SimpleNamespace(topic_errors=[(one.name, 0, None) for one in new])

    async def describe_cluster(self) -> Any:
        return {"brokers": [{"node_id": 1}]}

    async def describe_configs(self, asked: list[Any]) -> Any:
        if self.silent:
            raise TopicAuthorizationFailedError
        entries = list(self.settings.items())
        return [SimpleNamespace(resources=[(0, None, 2, one.name, entries) for one in asked])]

    @property
    def admin(self) -> AIOKafkaAdminClient:
        return cast("AIOKafkaAdminClient", self)


SUPPRESSIONS_OF_THREE = {"cleanup.policy": "compact", "min.insync.replicas": "2"}
EVENTS_OF_THREE = dict.fromkeys(TOPICS.events, 3)


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return what makes sure of a topic at given brokers, and returns the lines that were logged."""

    async def make_sure(brokers: Brokers, topic: str, replicas: int = 1) -> list[Any]:
        @asynccontextmanager
        async def connected(_options: Any) -> AsyncIterator[AIOKafkaAdminClient]:
            yield brokers.admin

        monkeypatch.setattr(new_topics, "admin_client", connected)
        with capture_logs() as lines:
            await make_sure_of(KafkaConnection.model_validate({"kafka_replication_factor": replicas}), topic)
        return lines

    return make_sure


@pytest.mark.parametrize(
    ("topic", "config"),
    [
        *((topic, {"cleanup.policy": "compact"}) for topic in TOPICS.compacted),
        (TOPICS.deliveries, {"cleanup.policy": "delete", "retention.bytes": "-1", "retention.ms": "2592000000"}),
        (TOPICS.actions, {"cleanup.policy": "delete", "retention.bytes": "-1", "retention.ms": "-1"}),
        (
            TOPICS.holds,
            {
                "cleanup.policy": "delete",
                "retention.ms": "3600000",
                "segment.ms": "600000",
                "message.timestamp.type": "LogAppendTime",
            },
        ),
    ],
)
@pytest.mark.parametrize(
    ("of_events", "configured", "copies", "in_sync"), [(3, 1, 3, "2"), (1, 1, 1, "1"), (0, 3, 3, "2"), (3, 5, 5, "2")]
)
async def test_a_topic_that_is_first_needed_has_all_its_settings_and_as_many_copies_as_the_event_topics(
    written: Any, topic: str, config: Mapping[str, str], of_events: int, configured: int, copies: int, in_sync: str
) -> None:
    brokers = Brokers(dict.fromkeys(TOPICS.events, of_events) if of_events else {})

    assert await written(brokers, topic, configured) == []

    assert list(brokers.created) == [topic]
    made = brokers.created[topic]
    assert (made.num_partitions, made.replication_factor) == (1, copies)
    assert made.topic_configs == {**config, "min.insync.replicas": in_sync}


async def test_a_topic_that_is_there_as_it_should_be_is_not_told_of(written: Any) -> None:
    brokers = Brokers({**EVENTS_OF_THREE, TOPICS.suppressions: 3}, SUPPRESSIONS_OF_THREE)

    assert await written(brokers, TOPICS.suppressions) == []
    assert brokers.created == {}


async def test_a_topic_of_other_settings_is_used_as_it_is_and_told_of(written: Any) -> None:
    brokers = Brokers({**EVENTS_OF_THREE, TOPICS.suppressions: 1}, {"cleanup.policy": "delete"})

    [line] = await written(brokers, TOPICS.suppressions)

    assert (line["event"], line["log_level"], line["topic"]) == ("topic.differs", "warning", TOPICS.suppressions)
    assert line["differences"] == [
        "replication is 1; should be 3 (as the event topics have)",
        "cleanup.policy is delete; should be compact",
    ]
    assert brokers.created == {}


async def test_a_topic_whose_settings_nobody_may_read_is_written_all_the_same(written: Any) -> None:
    brokers = Brokers({TOPICS.suppressions: 1})
    brokers.silent = True

    [line] = await written(brokers, TOPICS.suppressions)

    assert (line["event"], line["error"]) == ("topic.settings_not_read", "TopicAuthorizationFailedError")


async def test_a_setting_that_the_brokers_do_not_report_is_unknown_and_no_difference() -> None:
    brokers = Brokers({TOPICS.suppressions: 3}, {"cleanup.policy": "compact"})

    found = await differences(brokers.admin, TOPICS, [TOPICS.suppressions], partitions=1, replication_factor=1)

    assert not any(one.is_certain for one in found[TOPICS.suppressions])
    assert list(verdict(TOPICS.suppressions, found[TOPICS.suppressions], "kafka:9092")) == [
        "exists   lifecycle.suppressions",
        f"{'':<9}{UNKNOWN}",
    ]


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"auto.create.topics.enable": "true"}, True),
        ({"auto.create.topics.enable": "false"}, False),
        ({}, None),
    ],
)
async def test_brokers_tell_whether_they_create_what_is_asked_about(
    settings: Mapping[str, str],
    told: bool | None,  # noqa: FBT001 - pytest passes it
) -> None:
    assert await creates_what_is_asked_about(Brokers({}, settings).admin) is told


async def test_while_no_controller_is_elected_nothing_is_created_and_it_says_to_try_again() -> None:
    async def asked_again() -> None: ...

    admin = AIOKafkaAdminClient()
    admin._client = SimpleNamespace(cluster=SimpleNamespace(controller=None), force_metadata_update=asked_again)

    with pytest.raises(TopicsNotReady, match="no controller just now: try again"):
        await create(admin, KafkaConnection(), Found(None, 0, (TOPICS.suppressions,)))


async def test_topics_of_redpanda_are_as_asked_but_for_what_it_has_no_setting_for() -> None:
    # The topic properties of Redpanda 25.1's documents that are among those we ask for: min.insync.replicas is none.
    documented = {"cleanup.policy", "retention.bytes", "retention.ms", "segment.ms", "max.message.bytes"}
    documented |= {"message.timestamp.type"}
    for name in TOPICS.all:
        settings = {setting: one.value for setting, one in asked_of(name, TOPICS, 3).items() if setting in documented}
        brokers = Brokers({name: 3}, settings)

        found = await differences(brokers.admin, TOPICS, [name], partitions=1, replication_factor=3)

        assert [str(one) for one in found[name]] == [UNKNOWN]
        assert next(verdict(name, found[name], "127.0.0.1:1")).startswith("exists")
