"""What a stopped group would not read, or would read again, is told by the doctor, and by the next worker."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.records_to_delete import RecordsToDelete
from aiokafka.protocol.admin import DeleteGroupsRequest

from hubspot_consumer.kafka.group import UnreadRecords, unread_records
from runtime.kafka.topic_reader import TopicReader
from runtime.kafka.topics import admin_client, partitions_of
from sandbox.services import Service
from tests.pipeline import Pipeline
from tests.polling import eventually

pytestmark = pytest.mark.timeout(240)


async def unread(pipeline: Pipeline) -> UnreadRecords:
    options = {"bootstrap_servers": pipeline.environment["KAFKA_BOOTSTRAP_SERVERS"]}
    partitions = await partitions_of(options, pipeline.topics.events)
    receipts = await partitions_of(options, [pipeline.topics.deliveries])
    async with admin_client(options) as admin, TopicReader(options) as reader:
        return await unread_records(admin, reader, pipeline.environment["CONSUMER_GROUP"], partitions, receipts)


async def forget_the_group(admin: AIOKafkaAdminClient, group: str) -> None:
    """Delete a group's offsets, as a broker does when offsets.retention.minutes have passed."""
    answer = await admin._send_request_to_node(await admin.find_coordinator(group), DeleteGroupsRequest([group]))
    [[_, code]] = answer.results
    assert code == 0


async def offsets_by_the_doctor(pipeline: Pipeline) -> tuple[str, str]:
    done = await pipeline.run("doctor", "--offline", "--json")
    [found] = [one for one in json.loads(done.output)["findings"] if one["name"] == "offsets"]
    return found["level"], found["what"]


def told(log: Path, event: str) -> list[dict[str, Any]]:
    lines = (json.loads(line) for line in log.read_text().splitlines() if event in line)
    return [line for line in lines if line["event"] == event]


async def gaps(worker: Service, why: str) -> float:
    async with httpx.AsyncClient() as http:
        metrics = (await http.get(f"{worker.url}/metrics")).text
    name = f'hubspot_consumer_reading_gaps_total{{why="{why}"}} '
    return float(next(line for line in metrics.splitlines() if line.startswith(name)).removeprefix(name))


@pytest.fixture
async def worker(pipeline: Pipeline) -> Service:
    """A worker that has delivered a day, and was stopped."""
    relay, worker = pipeline.producer(), pipeline.consumer()
    await relay.launch_and_wait()
    await worker.launch_and_wait()
    await pipeline.commit(60)
    await pipeline.all_arrive(dead=1)
    await pipeline.until_finished()
    await worker.stop()
    return worker


async def test_a_group_whose_offsets_kafka_has_lost_reads_from_the_beginning_and_it_is_told(
    pipeline: Pipeline, worker: Service
) -> None:
    assert (await offsets_by_the_doctor(pipeline))[0] == "ok"
    async with admin_client({"bootstrap_servers": pipeline.environment["KAFKA_BOOTSTRAP_SERVERS"]}) as admin:
        await forget_the_group(admin, pipeline.environment["CONSUMER_GROUP"])

    level, what = await offsets_by_the_doctor(pipeline)
    assert (level, "Kafka has lost the offsets" in what) == ("warn", True)
    forgotten = (await unread(pipeline)).forgotten
    assert 0 < len(forgotten) < 42
    assert told(worker.log, "reading.offsets_forgotten") == []
    await worker.launch_and_wait()
    await pipeline.until_finished()
    [line] = told(worker.log, "reading.offsets_forgotten")
    assert (line["partitions"], line["of"]) == (len(forgotten), 42)
    assert line["first"] in {f"{one.topic}-{one.partition}" for one in forgotten}
    assert await gaps(worker, "forgotten") == 1
    assert (await offsets_by_the_doctor(pipeline))[0] == "ok"
    assert not (await pipeline.findings())[0]


async def test_records_that_retention_deleted_while_no_worker_ran_are_told_with_partition_and_offsets(
    pipeline: Pipeline, worker: Service
) -> None:
    before = await committed(pipeline)
    await pipeline.commit(60, seed=2)
    await pipeline.until_published()
    options = {"bootstrap_servers": pipeline.environment["KAFKA_BOOTSTRAP_SERVERS"]}
    async with TopicReader(options) as reader:
        ends = await reader.ends(list(before))
    one = max(ends, key=lambda partition: ends[partition] - before[partition])
    async with admin_client(options) as admin:
        await admin.delete_records({one: RecordsToDelete(ends[one])})

    level, what = await offsets_by_the_doctor(pipeline)
    assert (level, f"{one.topic}-{one.partition} {before[one]:,} to {ends[one] - 1:,}" in what) == ("fail", True)
    await worker.launch_and_wait()

    async def is_told() -> list[dict[str, Any]]:
        return told(worker.log, "reading.records_deleted")

    [line] = await eventually(is_told, saying="the worker says what it can't read")
    assert (line["topic"], line["partition"], line["offset"], line["start"]) == (*one, before[one], ends[one])
    assert await gaps(worker, "deleted") == 1


async def committed(pipeline: Pipeline) -> dict[TopicPartition, int]:
    """Return the group's offsets: it has one in each partition, empty or not."""
    async with admin_client({"bootstrap_servers": pipeline.environment["KAFKA_BOOTSTRAP_SERVERS"]}) as admin:
        found = await admin.list_consumer_group_offsets(pipeline.environment["CONSUMER_GROUP"])
    assert len(found) == 42
    return {partition: at.offset for partition, at in found.items()}
