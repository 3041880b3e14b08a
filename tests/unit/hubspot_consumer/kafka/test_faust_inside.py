"""What `faust_driver.py` leans on inside Faust and aiokafka, held against the locked versions.

A new version makes this fail on purpose: read docs/decisions/0048 and the functions named here again, run
`tests/end_to_end/test_rebalances.py`, `tests/integration/test_gaps.py` and `tests/chaos/test_new_groups.py`, then
change the versions here.
"""

import inspect
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.client import AIOKafkaClient
from aiokafka.consumer.fetcher import Fetcher
from aiokafka.consumer.group_coordinator import BaseCoordinator
from faust.app.base import App
from faust.assignor.partition_assignor import PartitionAssignor
from faust.tables.manager import TableManager
from faust.tables.recovery import Recovery
from faust.transport import consumer
from faust.transport.drivers import aiokafka as driver

from hubspot_consumer.kafka import faust_driver


@pytest.mark.parametrize(("package", "read"), [("faust-streaming", "0.15.3"), ("aiokafka", "0.14.0")])
def test_the_versions_are_those_whose_inside_was_read(package: str, read: str) -> None:
    assert version(package) == read


@pytest.mark.parametrize(
    ("ours", "fausts"),
    [
        (faust_driver.Consumer.getmany, consumer.Consumer.getmany),
        (faust_driver.Consumer.perform_seek, consumer.Consumer.perform_seek),
        (faust_driver.Consumer._commit, consumer.ThreadDelegateConsumer._commit),
        (faust_driver.Consumer._filter_committable_offsets, consumer.Consumer._filter_committable_offsets),
        (faust_driver.ConsumerThread.on_partitions_revoked, consumer.ConsumerThread.on_partitions_revoked),
        (faust_driver.ConsumerThread.on_partitions_assigned, consumer.ConsumerThread.on_partitions_assigned),
        (faust_driver.ConsumerThread._fetch_records, driver.AIOKafkaConsumerThread._fetch_records),
        (faust_driver.TableManager.on_start, TableManager.on_start),
        (faust_driver.Assignor._get_copartitioned_groups, PartitionAssignor._get_copartitioned_groups),
    ],
)
def test_what_is_overridden_takes_what_faust_gives_it(ours: Callable[..., Any], fausts: Callable[..., Any]) -> None:
    taken, given = inspect.signature(ours).parameters.values(), inspect.signature(fausts).parameters.values()
    assert [(one.kind, one.default) for one in taken] == [(one.kind, one.default) for one in given]


@pytest.mark.parametrize(
    ("inside", "words"),
    [
        # Records are thrown away while the flow is suspended: why nothing may be fetched before the seek.
        (
            consumer.Consumer._drain_messages,
            "self.wait_first(\n                                callback(message), self.suspend_flow.wait()",
        ),
        # The records of a fetch are passed on as one message, by the same wait and under the same conditions.
        (consumer.Consumer._drain_messages, "ait = cast(AsyncIterator, getmany(timeout=1.0))"),
        (
            consumer.Consumer.getmany,
            "records, active_partitions = await self._wait_next_records(timeout)\n        generation_id = self.app",
        ),
        # The queue of events is empty, and the flow suspended, before `FaustWorker` drops the rest of its event.
        (App._on_partitions_revoked, "T(self.flow_control.clear)()"),
        # While a request to a broker is under way, or waits for its time, no other one is made to it. A request
        # that is cancelled returns, and is awaited.
        (Fetcher._fetch_requests_routine, "self._proc_fetch_request(assignment, node_id, request),"),
        (Fetcher._fetch_requests_routine, "self._in_flight.add(node_id)"),
        (Fetcher._proc_fetch_request, "except asyncio.CancelledError:"),
        (Fetcher.close, "x.cancel()\n            await x"),
        # Fetches go through the method that is overridden, with the set of partitions that pauses change.
        (
            driver.AIOKafkaConsumerThread.getmany,
            "self._fetch_records,\n            _consumer,\n            active_partitions,",
        ),
        # Revocations and assignments reach the thread before the main loop.
        (driver.ConsumerRebalanceListener.on_partitions_revoked, "return thread.on_partitions_revoked("),
        (driver.ConsumerRebalanceListener.on_partitions_assigned, "await self._thread.on_partitions_assigned("),
        # All that the table manager does when it starts, behind a sleep that nobody needs without tables.
        (
            TableManager.on_start,
            "await self.sleep(1.0)\n        if not self.should_stop:\n            await self._update_channels()",
        ),
        # The only way to a commit.
        (consumer.Consumer._commit_tps, "self._filter_committable_offsets(tps)"),
        # Nobody else seeks: there are no tables to recover.
        (Recovery._resume_streams, "consumer.perform_seek()"),
        (App._on_partitions_revoked, "T(consumer.stop_flow)()"),
        # A fetch takes records and returns in one step, so that a fetch that waits can be cancelled without loss.
        (Fetcher.fetched_records, "if drained or not timeout:\n                return drained"),
        # aiokafka does not seek partitions without a commit.
        (AIOKafkaConsumer.seek_to_committed, "if offset and offset > 0:"),
        # The leader joins again if an update of the metadata shows other counts than those that it has assigned.
        (BaseCoordinator._handle_metadata_update, "if self._metadata_snapshot != metadata_snapshot:"),
        (AIOKafkaClient.force_metadata_update, "# Wake up the `_md_synchronizer` task"),
        # Faust assigns topics with different counts independently.
        (PartitionAssignor._perform_assignment, "copartitioned_groups = self._get_copartitioned_groups("),
    ],
)
def test_faust_and_aiokafka_are_inside_as_the_decision_says(inside: Callable[..., Any], words: str) -> None:
    assert words in inspect.getsource(inside)
