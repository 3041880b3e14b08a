"""The faults: what is done to a running pipeline at a random moment, and undone again."""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

from sandbox.services import Service
from tests.pipeline import Pipeline

# Longer than the group waits for a member (10 s), so that another worker takes over while it is stopped.
STOPPED_S = (12.0, 18.0)
SHORTLY_S = (1.0, 5.0)


@dataclass
class Scene:
    """A pipeline with one relay and two workers, and the servers that it stands on."""

    pipeline: Pipeline
    relay: Service
    workers: list[Service]
    kafka: Any
    postgres: Any
    chance: Random

    async def wait(self, between: tuple[float, float]) -> None:
        await asyncio.sleep(self.chance.uniform(*between))


Fault = Callable[[Scene], Awaitable[None]]


async def relay_killed(scene: Scene) -> None:
    await scene.relay.kill()
    await scene.wait(SHORTLY_S)
    await scene.relay.launch_and_wait()


async def relay_stopped(scene: Scene) -> None:
    scene.relay.send(signal.SIGSTOP)
    await scene.wait(STOPPED_S)
    scene.relay.send(signal.SIGCONT)


async def worker_killed(scene: Scene) -> None:
    worker = scene.chance.choice(scene.workers)
    await worker.kill()
    await scene.wait(SHORTLY_S)
    await worker.launch_and_wait()


async def worker_stopped(scene: Scene) -> None:
    worker = scene.chance.choice(scene.workers)
    worker.send(signal.SIGSTOP)
    await scene.wait(STOPPED_S)
    worker.send(signal.SIGCONT)


async def both_workers_and_the_relay_killed(scene: Scene) -> None:
    await asyncio.gather(*(service.kill() for service in (scene.relay, *scene.workers)))
    await scene.wait(SHORTLY_S)
    await asyncio.gather(*(service.launch_and_wait() for service in (scene.relay, *scene.workers)))


async def broker_killed(scene: Scene) -> None:
    await scene.kafka.kill()
    await scene.wait(SHORTLY_S)
    await scene.kafka.start()


async def broker_stopped(scene: Scene) -> None:
    await scene.kafka.pause()
    await scene.wait(STOPPED_S)
    await scene.kafka.resume()


async def database_killed(scene: Scene) -> None:
    await scene.postgres.kill()
    await scene.wait(SHORTLY_S)
    await scene.postgres.start()


async def database_stopped(scene: Scene) -> None:
    await scene.postgres.pause()
    await scene.wait(STOPPED_S)
    await scene.postgres.resume()


async def outage(scene: Scene) -> None:
    await _answering(scene, {"kind": "status", "status": 503, "style": "html"}, STOPPED_S)


async def slow_answers(scene: Scene) -> None:
    await _answering(scene, {"kind": "slow", "seconds": 4}, STOPPED_S)


async def lost_answers(scene: Scene) -> None:
    """Apply every third write, and answer it as if it were not."""
    await _answering(scene, {"kind": "status", "status": 502}, STOPPED_S, apply="after", when={"rate": 0.33})


async def dropped_connections(scene: Scene) -> None:
    await _answering(scene, {"kind": "drop"}, STOPPED_S, apply="after", when={"rate": 0.5})


async def _answering(
    scene: Scene,
    answer: Mapping[str, Any],
    between: tuple[float, float],
    *,
    apply: str = "before",
    when: Mapping[str, Any] | None = None,
) -> None:
    await scene.pipeline.simulator.add_fault({"answer": answer, "apply": apply, "when": when or {}})
    await scene.wait(between)
    await scene.pipeline.simulator.remove_faults()


def _named(*faults: Fault) -> Mapping[str, Fault]:
    return {fault.__name__: fault for fault in faults}


FAULTS = {
    **_named(relay_killed, relay_stopped, worker_killed, worker_stopped, both_workers_and_the_relay_killed),
    **_named(broker_killed, broker_stopped, database_killed, database_stopped),
    **_named(outage, slow_answers, lost_answers, dropped_connections),
}
