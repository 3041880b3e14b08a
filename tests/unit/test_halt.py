"""The halt: one probe at a time, further and further apart, and open again at the first answer."""

import itertools

from hubspot_consumer.halt import LONGEST_PROBE_S, HaltGate
from hubspot_consumer.outcomes import Halt
from tests.clock import OwnedClock

REFUSED = Halt("token_refused", "401")


async def test_an_open_gate_lets_everything_through_at_once() -> None:
    clock = OwnedClock()

    assert not await HaltGate(clock).open()
    assert clock.monotonic() == 0


async def test_a_halt_names_its_reason_and_the_next_probe_and_an_answer_ends_it() -> None:
    clock = OwnedClock()
    gate = HaltGate(clock)
    gate.close(REFUSED)

    assert gate.halted is not None
    assert (gate.halted.reason, gate.halted.detail) == ("token_refused", "401")
    probe_at = gate.halted.next_probe
    assert await gate.open()
    assert clock.now() == probe_at

    gate.answered()
    assert gate.halted is None
    assert not await gate.open()


async def test_probes_come_further_and_further_apart_up_to_a_limit() -> None:
    clock = OwnedClock()
    gate = HaltGate(clock)
    times = [0.0]
    gate.close(REFUSED)
    for _ in range(10):
        assert await gate.open()
        times.append(clock.monotonic())
        gate.close(REFUSED)

    waits = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert waits[:4] == [2, 4, 8, 16]
    assert waits[-1] == LONGEST_PROBE_S
    assert gate.halted is not None
    assert gate.halted.since == OwnedClock().now()


async def test_calls_in_flight_that_all_say_the_same_count_once() -> None:
    clock = OwnedClock()
    gate = HaltGate(clock)
    for _ in range(8):
        gate.close(REFUSED)
    await gate.open()

    assert clock.monotonic() == 2
