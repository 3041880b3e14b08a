"""Replay: its speed of reading and projecting compared with a bare read, its calls, and its effect on live events."""

import asyncio
import itertools
import json
import tempfile
import time
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from statistics import median, quantiles
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition

from bench.backlog import publish, rows, steadily
from bench.bed import PARTITIONS, Bed
from hubspot_consumer.history.scan import MOST_BYTES
from producer.relay.row import Row as Made
from runtime.kafka.topic_reader import RECORDS_AT_ONCE, WAIT_MS
from sandbox.services import Service
from sandbox.variants.product import THIS, Version
from schemas.topics import Topics

Row = Mapping[str, Any]

EVENTS: Final = 1_000_000
CONTACTS: Final = 100_000
RUNS: Final = 3
# The quota is larger than HubSpot's usual one, so that the portal is written in minutes.
QUOTA: Final = 400
RATE_SHARE: Final = 0.9

LIVE_PER_S: Final = 200
LIVE_S: Final = 40
REPLAYED_CONTACTS: Final = 12_000
LATENCY_MS: Final = 100


async def replaying(bed: Bed) -> list[Row]:
    """Replays read and fold events of a tenth as many contacts, beside a bare read of them, which is aiokafka alone."""
    found: list[Row] = []
    for events in (EVENTS, EVENTS // 10):
        environment = await bed.backlog(events, events // 10)
        bare: list[float] = []
        folded = {version: list[dict[str, Any]]() for version in bed.versions}
        for run in range(RUNS):
            bed.say(f"{events:,} events, run {run + 1} of {RUNS}")
            bare.append(await _bare_read(environment, events))
            for version, runs in folded.items():
                runs.append(await _replay(bed, environment, "--dry-run", version=version))
        bare_s = median(bare)
        for version, runs in folded.items():
            read_s, all_s = (median(run[of] for run in runs) for of in ("read_s", "read_and_folded_s"))
            found.append(
                {
                    "version": version.name,
                    "events": events,
                    "contacts": events // 10,
                    "bare read, events/s": round(events / bare_s),
                    "read, events/s": round(events / read_s),
                    "read and folded, events/s": round(events / all_s),
                    "of a bare read": round(bare_s / all_s, 2),
                    "microseconds per event": round(all_s / events * 1e6, 1),
                }
            )
    return found


async def replay_writing(bed: Bed) -> list[Row]:
    """A replay of 1,000,000 events of 100,000 contacts to an empty portal, and the calls that it needs."""
    environment = dict(await bed.backlog(EVENTS, CONTACTS, quota=QUOTA, latency_ms=20))
    environment["HUBSPOT_RATE_LIMIT"] = str(QUOTA)
    done = await _replay(bed, environment, "--rate-share", str(RATE_SHARE))
    needed = CONTACTS / 100 + EVENTS / 500
    made = sum(number for kind, number in done["calls"].items() if kind.startswith(("upsert", "send")))
    statistics = await bed.simulator.statistics()
    return [
        {
            "events": EVENTS,
            "contacts": CONTACTS,
            "calls": sum(done["calls"].values()),
            "upserts and sends": made,
            "needed": round(needed),
            "more than needed": f"{100 * (sum(done['calls'].values()) / needed - 1):.1f} %",
            "seconds": done["took_s"],
            "429s": statistics["rate_limited_by_quota"],
        }
    ]


async def replay_beside(bed: Bed) -> list[Row]:
    """Live latency at 200 events/s, without a replay and beside one of the same contacts."""
    number, live = 5 * REPLAYED_CONTACTS, LIVE_PER_S * LIVE_S
    made = rows(number + 3 * live, REPLAYED_CONTACTS, seed=7)
    environment = dict(await bed.new_simulator(quota=100, latency_ms=LATENCY_MS))
    topics = Topics("beside.")
    environment |= {"KAFKA_TOPIC_PREFIX": topics.prefix, "CONSUMER_GROUP": "beside"}
    await bed.create_topics(topics)
    servers = environment["KAFKA_BOOTSTRAP_SERVERS"]
    await publish(servers, topics, PARTITIONS, itertools.islice(made, number), bed.say)
    async with bed.running_worker(environment):
        await bed.until_held(number, within_s=400)
        alone = await _live(bed, topics, servers, itertools.islice(made, live))
        with tempfile.TemporaryDirectory(prefix="replay-") as folder:
            replay = _command(bed, environment, folder, "--rate-share", "0.3")
            replay.launch()
            beside = await _live(bed, topics, servers, itertools.islice(made, live))
            went_on = replay.running
            await replay.stop()
        again = await _live(bed, topics, servers, itertools.islice(made, live))
    statistics = await bed.simulator.statistics()
    return [
        {"when": "without a replay", **alone},
        {"when": f"beside one{'' if went_on else ', which had ended before'}", **beside},
        {"when": "without one, afterwards", **again, "429s": statistics["rate_limited_by_quota"]},
    ]


async def _bare_read(environment: Mapping[str, str], events: int) -> float:
    """Return the seconds in which aiokafka reads *events* without any processing."""
    topics = Topics(environment["KAFKA_TOPIC_PREFIX"])
    consumer = AIOKafkaConsumer(
        bootstrap_servers=environment["KAFKA_BOOTSTRAP_SERVERS"],
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        fetch_max_bytes=MOST_BYTES,
    )
    await consumer.start()
    try:
        consumer.assign([TopicPartition(topic, number) for topic in topics.events for number in range(PARTITIONS)])
        read, began = 0, time.perf_counter()
        while read < events:
            batches = await consumer.getmany(timeout_ms=WAIT_MS, max_records=RECORDS_AT_ONCE)
            read += sum(map(len, batches.values()))
        return time.perf_counter() - began
    finally:
        await consumer.stop()


def _command(bed: Bed, environment: Mapping[str, str], folder: str, *options: str, version: Version = THIS) -> Service:
    arguments = ["hubspot_consumer", "replay", "--from-earliest", "--yes", "--json", "--folder", folder, *options]
    return Service(f"replay-{Path(folder).name}", arguments, bed.directory, environment, version=version)


async def _replay(bed: Bed, environment: Mapping[str, str], *options: str, version: Version = THIS) -> dict[str, Any]:
    """Run a replay to its end, and return its JSON report."""
    with tempfile.TemporaryDirectory(prefix="replay-") as folder:
        replay = _command(bed, environment, folder, *options, version=version)
        replay.launch()
        while replay.running:  # noqa: ASYNC110 - polls another process
            await asyncio.sleep(0.2)
    output = replay.log.read_text()
    if replay.exit_code:
        raise RuntimeError(f"the replay ended with {replay.exit_code}:\n{replay.tail()}")
    told: dict[str, Any] = json.loads(output[output.index("{") :])
    return told


async def _live(bed: Bed, topics: Topics, servers: str, made: Iterator[Made]) -> dict[str, Any]:
    """Publish at a steady rate; return quantiles of the time from each event's publication to its timeline entry."""
    published = steadily(servers, topics, PARTITIONS, made, LIVE_PER_S)
    sent = {row.id: time.time() async for row in published}
    arrived: dict[str, datetime] = {}
    while len(arrived) < len(sent):
        await asyncio.sleep(0.5)
        arrived = {name: at for name, at in (await bed.simulator.accepted()).entries if name in sent}
    cuts = quantiles([arrived[name].timestamp() - at for name, at in sent.items()], n=100)
    return {"events": len(sent), "p50 ms": round(cuts[49] * 1000), "p99 ms": round(cuts[98] * 1000)}
