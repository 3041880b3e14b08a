"""The contact writer: what is asked in one call, what the answer means, and which slots are given back."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext

import pytest

from hubspot_consumer.delivery.blocked import MOST_TRIES
from hubspot_consumer.delivery.contact_writer import MOST_CONFLICTS, NOT_OURS, Again, ContactWriter
from hubspot_consumer.delivery.destination import DryRun, Slot
from hubspot_consumer.gates.circuit_breaker import CircuitBreaker
from hubspot_consumer.gates.unwritable_properties import INDISPENSABLE, MOST_MISTYPED, UnwritableProperties
from hubspot_consumer.hubspot.outcomes import UNSURE, Delivered, Halt, Outcome, Rejected, RetryLater
from hubspot_consumer.hubspot.requests import Upsert
from hubspot_consumer.hubspot.results import WriteAnswer
from schemas.contacts import ContactKey
from tests.clock import OwnedClock

COLOUR_UNKNOWN = Rejected("rejected_by_hubspot", "no such property: colour", unwritable=frozenset({"colour"}))
CONFLICT = Rejected("rejected_by_hubspot", "another contact has this email", conflict=True)


class CountedSlot(nullcontext[None]):
    def __init__(self, hubspot: "HubSpot") -> None:
        super().__init__()
        self._hubspot = hubspot

    def give_back(self) -> None:
        self._hubspot.given_back += 1


class HubSpot(DryRun):
    """Notes which contacts each call is about, and answers as the test says."""

    def __init__(self, answer: Callable[[Sequence[Upsert]], WriteAnswer[Upsert]]) -> None:
        self._answer = answer
        self.calls: list[dict[str, set[str]]] = []
        self.given_back = 0

    async def slot(self) -> Slot:
        return CountedSlot(self)

    async def upsert(self, inputs: Sequence[Upsert]) -> WriteAnswer[Upsert]:
        self.calls.append({one.trace_id: set(one.properties) for one in inputs})
        return self._answer(inputs)


class Bench:
    """A contact writer, whose HubSpot answers each call in the same way."""

    def __init__(self, answer: Callable[[Sequence[Upsert]], WriteAnswer[Upsert]]) -> None:
        self.hubspot, self.halt = HubSpot(answer), CircuitBreaker(OwnedClock())
        self.counted: list[Outcome] = []
        self._writer = ContactWriter(self.hubspot, UnwritableProperties(), self.halt, self.counted.extend)
        self.refused: dict[str, Again | RetryLater] = {}

    async def upsert(self, *inputs: Upsert) -> dict[str, Outcome | Again]:
        slot = await self.hubspot.slot()
        written = self._writer.upsert(inputs, slot, lambda one: self.refused.get(one.trace_id))
        return {one.trace_id: outcome async for one, outcome in written}


def upsert(name: str, *properties: str, attempts: int = 0) -> Upsert:
    return Upsert(name, ContactKey(f"{name}@example.com"), dict.fromkeys(properties, "1"), attempts=attempts)


def all_of(outcome: Outcome) -> Callable[[Sequence[Upsert]], WriteAnswer[Upsert]]:
    return lambda inputs: WriteAnswer.of_all(inputs, outcome)


def unclear_together(inputs: Sequence[Upsert]) -> WriteAnswer[Upsert]:
    if len(inputs) > 1:
        return WriteAnswer(unclear=list(inputs))
    return WriteAnswer.of_all(inputs, CONFLICT if inputs[0].trace_id == "b" else Delivered("1"))


async def test_what_is_unclear_is_asked_again_in_halves_until_each_contact_has_its_outcome() -> None:
    bench = Bench(unclear_together)

    outcomes = await bench.upsert(upsert("a"), upsert("b", attempts=MOST_CONFLICTS), upsert("c"))

    assert outcomes == {"a": Delivered("1"), "b": CONFLICT, "c": Delivered("1")}
    assert [sorted(call) for call in bench.hubspot.calls] == [["a", "b", "c"], ["a", "b"], ["a"], ["b"], ["c"]]
    assert bench.counted == [Delivered("1"), CONFLICT, Delivered("1")]


async def test_a_property_that_the_portal_refuses_is_left_out_of_the_next_call() -> None:
    bench = Bench(
        lambda inputs: WriteAnswer.of_all(inputs, COLOUR_UNKNOWN if "colour" in inputs[0].properties else Delivered(""))
    )

    first, second = [await bench.upsert(upsert("a", "colour", "size")) for _ in range(2)]

    assert (first, second) == ({"a": Again(COLOUR_UNKNOWN.detail)}, {"a": Delivered("")})
    assert bench.hubspot.calls == [{"a": {"colour", "size"}}, {"a": {"size"}}]


async def test_a_refusal_of_a_property_that_was_left_out_already_is_final() -> None:
    """Otherwise the contact would be written again at once, for ever."""
    bench = Bench(all_of(COLOUR_UNKNOWN))
    await bench.upsert(upsert("a", "colour"))

    assert await bench.upsert(upsert("a", "colour", "size")) == {"a": COLOUR_UNKNOWN}


async def test_a_property_whose_values_hubspot_refuses_of_many_contacts_in_a_row_is_left_out() -> None:
    mistyped = Rejected("rejected_by_hubspot", "was not a valid long", mistyped=frozenset({"earned_at"}))
    bench = Bench(
        lambda inputs: WriteAnswer.of_all(inputs, mistyped if "earned_at" in inputs[0].properties else Delivered("1"))
    )

    few = [await bench.upsert(upsert(f"c{number}", "earned_at", "size")) for number in range(MOST_MISTYPED - 1)]
    assert [list(outcome.values()) for outcome in few] == [[mistyped]] * (MOST_MISTYPED - 1)

    assert await bench.upsert(upsert("last", "earned_at", "size")) == {"last": Again(mistyped.detail)}
    assert await bench.upsert(upsert("last", "earned_at", "size")) == {"last": Delivered("1")}


async def test_a_property_of_which_hubspot_takes_values_of_others_has_its_type_still() -> None:
    mistyped = Rejected("rejected_by_hubspot", "was not a valid long", mistyped=frozenset({"earned_at"}))
    bench = Bench(lambda inputs: WriteAnswer.of_all(inputs, Delivered("1") if inputs[0].trace_id == "ok" else mistyped))

    for number in range(3 * MOST_MISTYPED):
        assert await bench.upsert(upsert("ok", "earned_at")) == {"ok": Delivered("1")}
        assert await bench.upsert(upsert(f"c{number}", "earned_at")) == {f"c{number}": mistyped}


BLOCKED = RetryLater("403: Sorry, you have been blocked", outage=True, blocked=True)


def all_but_b(inputs: Sequence[Upsert]) -> WriteAnswer[Upsert]:
    return WriteAnswer.of_all(inputs, BLOCKED if any(one.trace_id == "b" for one in inputs) else Delivered("1"))


async def test_a_contact_that_a_firewall_blocks_for_its_text_stops_no_other_and_is_rejected_in_the_end() -> None:
    bench = Bench(all_but_b)

    for _ in range(MOST_TRIES - 1):
        outcomes = await bench.upsert(upsert("a"), upsert("b"), upsert("c"))
        assert outcomes == {"a": Delivered("1"), "b": BLOCKED, "c": Delivered("1")}

    last = await bench.upsert(upsert("a"), upsert("b"), upsert("c"))
    assert last["b"] == Rejected("rejected_by_hubspot", BLOCKED.detail)
    assert bench.halt.halted is None


async def test_a_blocked_contact_alone_is_an_outage_until_one_other_contact_passes_and_is_rejected_then() -> None:
    bench = Bench(all_but_b)
    for _ in range(3 * MOST_TRIES):
        assert await bench.upsert(upsert("b")) == {"b": BLOCKED}
    assert bench.halt.halted is not None
    assert bench.halt.halted.reason == "hubspot_unavailable"

    assert await bench.upsert(upsert("a")) == {"a": Delivered("1")}
    assert bench.halt.halted is None
    assert await bench.upsert(upsert("b")) == {"b": BLOCKED}
    assert await bench.upsert(upsert("b")) == {"b": Rejected("rejected_by_hubspot", BLOCKED.detail)}
    assert bench.halt.halted is None


async def test_a_portal_without_the_property_that_guards_the_order_halts_sending() -> None:
    bench = Bench(all_of(Rejected("rejected_by_hubspot", "none", unwritable=frozenset({INDISPENSABLE}))))

    outcome = (await bench.upsert(upsert("a", INDISPENSABLE)))["a"]

    assert isinstance(outcome, Halt)
    assert bench.halt.halted is not None
    assert bench.halt.halted.reason == outcome.reason == "portal_not_provisioned"


@pytest.mark.parametrize(
    ("attempts", "expected"),
    [(MOST_CONFLICTS - 1, Again(CONFLICT.detail, conflict=True)), (MOST_CONFLICTS, CONFLICT)],
)
async def test_a_conflict_is_tried_again_six_times_at_most(attempts: int, expected: Outcome | Again) -> None:
    assert MOST_CONFLICTS == 6
    assert await Bench(all_of(CONFLICT)).upsert(upsert("a", attempts=attempts)) == {"a": expected}


@pytest.mark.parametrize("why", [NOT_OURS, UNSURE])
async def test_a_contact_that_must_not_be_written_is_in_no_call_and_a_slot_without_a_call_is_given_back(
    why: Again | RetryLater,
) -> None:
    bench = Bench(all_of(Delivered("1")))
    bench.refused = {"a": why}

    assert await bench.upsert(upsert("a"), upsert("b")) == {"a": why, "b": Delivered("1")}
    assert bench.hubspot.given_back == 0
    assert await bench.upsert(upsert("a")) == {"a": why}
    assert (bench.hubspot.given_back, [sorted(call) for call in bench.hubspot.calls]) == (1, [["b"]])
