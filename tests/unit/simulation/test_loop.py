"""The simulation's event loop: it owns the time, and the order of processes."""

import asyncio
from random import Random

import pytest

from tests.simulation.loop import Process, SimulatedLoop, SimulationEnded


def test_time_passes_only_while_nothing_else_is_to_be_done() -> None:
    loop = SimulatedLoop(Random(1))

    async def waits() -> float:
        await asyncio.sleep(3_600)
        return loop.time()

    assert loop.run(waits()) == pytest.approx(3_600)


def test_a_killed_process_does_nothing_any_more_not_even_at_the_end_of_its_contexts() -> None:
    loop, process, done = SimulatedLoop(Random(1)), Process("victim"), list[str]()

    async def victim() -> None:
        try:
            await asyncio.sleep(1)
            done.append("slept")
        finally:
            done.append("cleaned up")

    async def kills() -> list[str]:
        loop.start(process, victim())
        await asyncio.sleep(0.5)
        loop.kill(process)
        await asyncio.sleep(10)
        return list(done)

    assert loop.run(kills()) == []


def test_a_suspended_process_goes_on_with_what_it_missed_when_it_is_resumed() -> None:
    loop, process, done = SimulatedLoop(Random(1)), Process("suspended"), list[float]()

    async def works() -> None:
        for _ in range(3):
            await asyncio.sleep(1)
            done.append(round(loop.time(), 3))

    async def suspends() -> None:
        working = loop.start(process, works())
        await asyncio.sleep(1.5)
        process.paused = True
        await asyncio.sleep(8.5)
        loop.resume(process)
        await working

    loop.run(suspends())

    assert done == [1.0, 10.0, 11.0]


def test_callbacks_of_one_process_keep_their_order_and_those_of_two_have_none() -> None:
    def order(seed: int) -> list[str]:
        loop, done = SimulatedLoop(Random(seed)), list[str]()

        async def works(name: str) -> None:
            for number in range(5):
                await asyncio.sleep(0)
                done.append(f"{name}{number}")

        async def main() -> None:
            await asyncio.wait([loop.start(Process(name), works(name)) for name in "ab"])

        loop.run(main())
        return done

    orders = [order(seed) for seed in range(20)]

    for done in orders:
        assert [one for one in done if one[0] == "a"] == [f"a{number}" for number in range(5)]
    assert len({tuple(done) for done in orders}) > 1
    assert order(3) == order(3)


def test_a_simulation_that_goes_round_in_a_circle_ends() -> None:
    loop = SimulatedLoop(Random(1), most_steps=1_000)

    async def circles() -> None:
        while True:  # noqa: ASYNC110 - the circle that is to be ended
            await asyncio.sleep(0)

    with pytest.raises(SimulationEnded, match="more than 1,000 steps"):
        loop.run(circles())


def test_a_simulation_in_which_nothing_is_left_to_do_ends() -> None:
    loop = SimulatedLoop(Random(1))

    with pytest.raises(SimulationEnded, match="nothing is left to do"):
        loop.run(asyncio.Event().wait())
