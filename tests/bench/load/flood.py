"""A flood of submits from a process of its own, `python -m tests.bench.load.flood`, which leaves the machine to others: a real
one would come from another machine. It reads a `Flood` from stdin and says in JSON how long it took and what was refused."""

import asyncio
import os
import sys
import time

import msgspec

from tests.bench.load.client import HttpConnection
from tests.bench.load.targets import Target
from tests.system import ROOT

NICE = 10


class Flood(msgspec.Struct):
    """`jobs` submits of `model` by the tenant of `key`, over `links` connections."""

    port: int
    key: str
    model: str
    jobs: int
    links: int


class Outcome(msgspec.Struct):
    """How long a flood took, and what it was told instead of a job."""

    took_s: float
    refused: list[str]


async def run_flood(flood: Flood) -> Outcome:
    """Let a process of its own do it."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.bench.load.flood"), cwd=ROOT, stdin=-1, stdout=-1
    )
    said, _ = await process.communicate(msgspec.json.encode(flood))
    return msgspec.json.decode(said, type=Outcome)


async def submit_all(flood: Flood) -> Outcome:
    """Submit them here."""
    request = Target("native", flood.port, flood.key).request(flood.model, stream=False)
    left, outcome, began = iter(range(flood.jobs)), Outcome(0.0, []), time.monotonic()

    async def submit() -> None:
        link = HttpConnection(flood.port)
        for _ in left:
            exchange = await link.ask(request)
            if exchange.error:
                outcome.refused.append(exchange.error)
        link.close()

    await asyncio.gather(*(submit() for _ in range(flood.links)))
    outcome.took_s = time.monotonic() - began
    return outcome


if __name__ == "__main__":
    os.nice(NICE)
    done = asyncio.run(submit_all(msgspec.json.decode(sys.stdin.buffer.read(), type=Flood)))
    sys.stdout.buffer.write(msgspec.json.encode(done))
