"""Holds at random: while a hold is obeyed nothing of its contacts is in a call, and afterwards everything goes on."""

import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, cast

from hypothesis import given, settings
from hypothesis import strategies as st

from hubspot_consumer.holds.records import FOR_S, HoldBegun, HoldRecord, Released, RunEnded, Written
from hubspot_consumer.holds.worker import WorkerHolds
from hubspot_consumer.ordering.lane import ContactUpdate
from hubspot_consumer.ordering.lanes import Lanes
from schemas.contacts import ContactKey
from tests.examples import examples
from tests.kafka.hold_records import as_read
from tests.lane_bench import ADA, GRACE, Bench, HubSpot, answer

CONTACTS = (ADA, GRACE)
EVENTS = range(1, 7)


@dataclass
class Run:
    """A reprocessing run: its hold, whether the worker obeys it, and what the run has written of it."""

    number: int
    keys: frozenset[ContactKey]
    until: float
    obeyed: bool = False
    written: dict[ContactKey, Written] = field(default_factory=dict)


class Scene:
    """A worker's lanes and holds, HubSpot's contacts, and a run that writes them too, by chance."""

    def __init__(self, arrivals: list[tuple[ContactKey, int]], seed: int) -> None:
        self.chance = random.Random(seed)
        self.bench = Bench()
        # A hole is given up only when what fills it can't come any more.
        self.lanes = self.bench.lanes = Lanes(self.bench.clock, lambda *_: not self.waiting)
        self.holds = WorkerHolds(self.lanes, cast("Any", _Delivery()), cast("Any", _Pacing()), self.bench.clock)
        self.hubspot = {key: HubSpot(EVENTS) for key in CONTACTS}
        self.waiting = list(arrivals)
        self.in_flight: list[ContactUpdate] = []
        self.run: Run | None = None
        self.numbers = 0

    def say(self, record: HoldRecord) -> None:
        self.holds.take_in(as_read(record, self.bench.clock.now()))

    def step(self) -> None:
        if self.waiting and self.chance.random() < 0.5:
            key, sequence = self.waiting.pop()
            self.bench.add(sequence, key=key)
        if self.chance.random() < 0.2:
            self.begin_or_end()
        self.holds.expire()
        if self.run is not None and self.bench.clock.monotonic() >= self.run.until:
            self.run = None
        if self.run is not None:
            self.run.obeyed |= any(hold.number == self.run.number for hold in self.holds.to_answer())
            if self.run.obeyed and self.chance.random() < 0.3:
                self.write(self.run)
        for lane in self.lanes.take_unknown(100):
            self.lanes.known(lane, "1", self.hubspot[lane.key].holds or 0)
        self.lanes.wake()
        self.in_flight += self.lanes.take_new(100) + self.lanes.take(100)
        if self.run is not None and self.run.obeyed:
            assert not {update.lane.key for update in self.in_flight} & self.run.keys, "a held contact is in a call"
        if self.in_flight and self.chance.random() < 0.7:
            update = self.in_flight.pop(self.chance.randrange(len(self.in_flight)))
            answer(self.bench, self.hubspot[update.lane.key], update, self.chance)
        elif not self.in_flight:
            self.bench.clock.advance(1)

    def begin_or_end(self) -> None:
        if self.run is None:
            self.numbers += 1
            keys = frozenset(self.chance.sample(CONTACTS, self.chance.randint(1, 2)))
            self.run = Run(self.numbers, keys, self.bench.clock.monotonic() + FOR_S)
            self.say(HoldBegun(run="r", number=self.numbers, command="replay", contacts=tuple(keys), quota_share=0.5))
            return
        run, self.run = self.run, None
        match self.chance.choice(["released", "killed", "killed and resumed"]):
            case "released":
                self.say(Released(run="r", number=run.number, written=run.written))
            case "killed":
                self.bench.clock.advance(FOR_S)
            case "killed and resumed":
                self.say(RunEnded(run="r"))

    def write(self, run: Run) -> None:
        """Let the run bring a contact to any of its events, which the worker may not have read."""
        key = self.chance.choice(sorted(run.keys))
        hubspot = self.hubspot[key]
        hubspot.holds = self.chance.choice([number for number in EVENTS if number >= (hubspot.holds or 1)])
        run.written[key] = Written(sequence=hubspot.holds, contact_id="1")

    @property
    def over(self) -> bool:
        return not (self.waiting or self.in_flight or self.run or self.bench.busy or self.lanes.held)


class _Delivery:
    def notify(self) -> None:
        """Whoever takes looks by itself."""


class _Pacing:
    def lend(self, _part: float) -> None:
        """No calls are counted here."""


@settings(max_examples=examples(300))
@given(st.permutations([(key, number) for key in CONTACTS for number in EVENTS]), st.integers())
def test_nothing_of_a_held_contact_is_in_a_call_and_after_the_hold_every_event_takes_effect_in_order_and_once(
    arrivals: list[tuple[ContactKey, int]], seed: int
) -> None:
    scene = Scene(arrivals, seed)
    steps = 0
    while not scene.over:
        scene.step()
        steps += 1
        assert steps < 10_000, "somebody waits for ever"

    # That no write moves a contact backwards, or skips an event, is what `HubSpot.write` asserts.
    assert scene.bench.finished == Counter(arrivals)
    for hubspot in scene.hubspot.values():
        assert hubspot.holds == max(EVENTS)
        assert set(hubspot.entries) == set(EVENTS)
