"""A simulation: one seed's world of workers, relays and servers, its faults, and what must hold."""

import asyncio
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from random import Random
from typing import Any, Final, NoReturn

from hubspot_consumer.hubspot.connection import http_client
from schemas.envelope import Headers
from tests.simulation.faults import Fault, schedule
from tests.simulation.hubspot import HubSpot, Transport
from tests.simulation.injection import Injection
from tests.simulation.kafka.cluster import CLUSTER, Cluster, reachable
from tests.simulation.loop import SimulatedLoop, SimulationEnded
from tests.simulation.network import Network
from tests.simulation.patching import START, replaced
from tests.simulation.properties import Properties
from tests.simulation.runs import Runs
from tests.simulation.source import Source
from tests.simulation.variant import Variant
from tests.simulation.worker import Worker

PARTITIONS: Final = 12
EVENTS: Final = 300
FAULTS: Final = 5
FAULTS_WITHIN_S: Final = 20.0
# Seeds in which contacts change their emails.
SHARE_WITH_EMAIL_CHANGES: Final = 1 / 3
EMAIL_CHANGES: Final = 0.03
# After the last fault everything must be in HubSpot within this time: outages are probed within 8 s, halts within a
# minute, contacts back off for half a minute, and a group waits up to a minute for a silent member.
DRAINED_WITHIN_S: Final = 400.0


@dataclass(frozen=True)
class Plan:
    """What happens: the same seed with fewer faults or events is a shorter schedule."""

    seed: int
    workers: int
    events: int
    faults: Sequence[Fault]
    # Probability that a contact's event changes its email.
    email_changes: float = 0.0
    variant: Variant = field(default_factory=Variant)

    @classmethod
    def of(cls, seed: int, *, events: int = EVENTS, faults: int = FAULTS, email_changes: float | None = None) -> "Plan":
        chance = Random(f"plan {seed}")
        if email_changes is None:
            email_changes = (
                EMAIL_CHANGES if Random(f"email changes {seed}").random() < SHARE_WITH_EMAIL_CHANGES else 0.0
            )
        workers = chance.choice((3, 3, 3, 4, 5))
        drawn = schedule(chance, faults=faults, within_s=FAULTS_WITHIN_S)
        return cls(seed, workers, events, drawn, email_changes, Variant.of(seed))

    @classmethod
    def read(cls, text: str) -> "Plan":
        """Return the plan that `as_json` wrote."""
        given = json.loads(text)
        faults = [Fault(**fault) for fault in given.pop("faults")]
        return cls(faults=faults, variant=Variant(**given.pop("variant")), **given)

    @property
    def features(self) -> frozenset[str]:
        """The kinds of its faults, and what its contacts have: `email_changes` and `erased_contact`."""
        more = {"email_changes": self.email_changes, "erased_contact": self.variant.erased_contact}
        return frozenset([*(fault.kind for fault in self.faults), *(name for name, there in more.items() if there)])

    def as_json(self) -> str:
        return json.dumps(asdict(self))


@dataclass
class Result:
    """What came of a plan: the violations, of which there should be none, and what was exercised."""

    plan: Plan
    violations: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    exercised: Counter[str] = field(default_factory=Counter)
    lasted_s: float = 0.0
    steps: int = 0


class Simulation:
    """The world of a plan."""

    def __init__(self, plan: Plan) -> None:
        self.plan: Final = plan
        self.chance: Final = Random(plan.seed)
        self.loop: Final = SimulatedLoop(self.chance)
        self.network: Final = Network(self.loop, self.chance)
        self.cluster: Final = Cluster(self.loop, self.network, self.chance, START.timestamp())
        self.hubspot: Final = HubSpot(self.loop, self.network, self.chance, plan.variant)
        self.settings: Final = plan.variant.consumer
        self.workers: list[Worker] = []
        self.result: Final = Result(plan)
        # The suppressed contacts, and since when.
        self.suppressed: Final[dict[str, float]] = {}
        self.source: Final = Source(self)
        self.runs: Final = Runs(self)
        self.properties: Final = Properties(self)
        self.last_fault_ends_at = 0.0
        # The faults that go on at the moment, without what is none.
        self.faults_under_way = 0

    def run(self) -> Result:
        """Return what came of the plan."""
        for topic in self.settings.topics.published:
            self.cluster.broker.create(topic, PARTITIONS)
        hubspot = ("hubspot_consumer.hubspot_access.http_client", self._http_client)
        self.loop.world.context.run(CLUSTER.set, self.cluster)
        with reachable(self.cluster), replaced(self.loop, self.chance, [hubspot, *self.source.patches]):
            try:
                self.loop.run(self._main())
            except SimulationEnded as ended:
                self.violate(f"the simulation ended: {ended}")
        self.result.lasted_s, self.result.steps = self.loop.time(), self.loop.steps
        self.result.exercised.update(self._exercised())
        return self.result

    @property
    def digest(self) -> str:
        """A digest of all that was stored in Kafka and asked of HubSpot: two runs of a plan have the same."""
        digest = sha256(f"{self.loop.steps} {self.loop.time()}".encode())
        for partition, log in sorted(self.cluster.broker.logs.items()):
            digest.update(f"{partition} {log.records}".encode())
        for request in self.hubspot.portal.log.requests:
            digest.update(f"{request}".encode())
        return digest.hexdigest()

    def _exercised(self) -> Mapping[str, int]:
        events = self.cluster.broker.events(self.settings.topics)
        log = self.hubspot.portal.log
        published = sum(self.cluster.broker.logs[one].end for one in events)
        return {
            "events committed": len(self.source.committed()),
            "events undone by a restore": len(self.source.database.undone),
            "offsets beyond them (repeats, markers)": max(0, published - len(self.source.committed())),
            "rebalances": self.cluster.group(self.settings.group).generation,
            "workers started": len(self.workers),
            "calls to HubSpot": log.total,
            "calls that failed": sum(number for (_, status), number in log.calls.items() if status[0] != "2"),
            "dead letters": len(self.dead_letters()),
            "runs killed": self.result.counts["run_killed"],
        }

    def violate(self, what: str) -> None:
        self.result.violations.append(f"{self.loop.time():.3f} s: {what}")

    def start_worker(self) -> Worker:
        """Start a worker in addition to those that run."""
        worker = Worker(f"worker-{len(self.workers) + 1}", self.loop, self.settings)
        self.workers.append(worker)
        return worker

    @property
    def running(self) -> list[Worker]:
        """The workers that were neither killed nor stopped."""
        return [worker for worker in self.workers if worker.runs]

    def dead_letters(self) -> set[str]:
        """Return the event ids of the dead letters."""
        topic, logs = self.settings.topics.dead_letters, self.cluster.broker.logs
        records = (record for partition, log in logs.items() if partition.topic == topic for record in log.records)
        return {Headers.decode(record.headers).id for record in records}

    def excused(self) -> set[str]:
        """Return the event ids of the dead letters and of suppressed contacts, which HubSpot need not have."""
        return self.dead_letters() | {one.id for one in self.source.committed() if one.contact_key in self.suppressed}

    async def _look(self) -> NoReturn:
        while True:
            await asyncio.sleep(1.0)
            self.properties.look()

    def _http_client(self, base_url: str, read_token: Any) -> Any:
        return http_client(base_url, read_token, Transport(self.hubspot))

    def faults_last(self, for_s: float = 0.0) -> None:
        """Expect the last fault to end no sooner than *for_s* seconds from now."""
        self.last_fault_ends_at = max(self.last_fault_ends_at, self.loop.time() + for_s)

    async def _main(self) -> None:
        for _ in range(self.plan.workers):
            self.start_worker()
        self.source.start()
        self.loop.start(self.loop.world, Injection(self).run())
        self.loop.start(self.loop.world, self._look())
        await self.source.ended()
        self.faults_last()
        while self.loop.time() < self.last_fault_ends_at + DRAINED_WITHIN_S:
            await asyncio.sleep(1.0)
            self.properties.check_workers()
            if self.result.violations:
                return
            if self.loop.time() > self.last_fault_ends_at and self.properties.drained:
                break
        self.properties.check_at_the_end()
