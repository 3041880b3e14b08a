"""Topics on Kafka, without one: what every client of a process asks, and where keys go."""

import importlib
import pkgutil

import aiokafka
import pytest
from aiokafka.protocol import metadata

from runtime.kafka.topics import UnequalPartitions, equal_partitions, never_create_topics

TOPIC = "lifecycle.nova_earned"


def test_no_client_of_a_process_that_never_creates_topics_can_ask_so_that_one_is_created(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    modules = [importlib.import_module(one.name) for one in pkgutil.walk_packages(aiokafka.__path__, "aiokafka.")]
    asking = [module for module in modules if module is not metadata and hasattr(module, "MetadataRequest")]
    for module in asking:
        # Restored afterwards: this process has clients that are to create topics.
        monkeypatch.setattr(module, "MetadataRequest", metadata.MetadataRequest)

    never_create_topics()

    assert {module.__name__ for module in asking} == {"aiokafka.client", "aiokafka.admin.client"}
    for module in asking:
        asked = module.MetadataRequest([TOPIC]).build(metadata.MetadataRequest_v5).to_object()
        assert asked == {"topics": [TOPIC], "allow_auto_topic_creation": False}
        assert module.MetadataRequest(None).build(metadata.MetadataRequest_v5).to_object()["topics"] is None


def test_event_topics_have_equal_partition_counts_or_are_refused_by_name() -> None:
    assert equal_partitions({}) is None
    assert equal_partitions({"a": 3, "b": 3}) == 3
    with pytest.raises(UnequalPartitions, match="a has 3, b has 1"):
        equal_partitions({"a": 3, "b": 1})
