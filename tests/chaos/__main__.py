"""`python -m tests.chaos [--quick] [--seed N] [--case …]`: break things, judge, print a table; status 1 for any finding."""

import argparse
import asyncio
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

from tests.chaos.cases import CASES, Case
from tests.chaos.oracle import Verdict, judge
from tests.chaos.world import World, open_world, wrong_readers

HEAD = f"{'case':<40}{'jobs':>6}{'faults':>8}{'lost':>6}{'doubled':>9}{'restarted':>11}{'spent':>7}{'refused':>9}{'seconds':>9}"


def main() -> int:
    """Run what was asked for and return the exit status."""
    parser = argparse.ArgumentParser(prog="headrace chaos", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="the quick set, at most 4 minutes on two cores")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32), help="repeat a run's choices")
    parser.add_argument("--case", action="append", help="a number or a part of a name; may be given more than once")
    parser.add_argument("--scale", type=float, default=1.0, help="how much load and how many faults (default 1)")
    parser.add_argument("--keep", action="store_true", help="keep the processes' logs even when nothing was found")
    wanted = parser.parse_args()
    chosen = [case for case in CASES if _is_wanted(case, wanted.quick, wanted.case)]
    if not chosen:
        parser.error(f"no such case; there are {', '.join(case.name for case in CASES)}")
    folder = Path(tempfile.mkdtemp(prefix="headrace-chaos-"))
    print(f"seed {wanted.seed}; the processes' logs are in {folder}\n{HEAD}", flush=True)
    findings = asyncio.run(play(chosen, folder, seed=wanted.seed, scale=wanted.scale))
    for finding in findings:
        print(f"  {finding}")
    if not findings and not wanted.keep:
        shutil.rmtree(folder, ignore_errors=True)
    print(
        f"{'nothing was lost, nothing done twice' if not findings else f'{len(findings)} findings'} (seed {wanted.seed})"
    )
    return 1 if findings else 0


def _is_wanted(case: Case, quick: bool, named: list[str] | None) -> bool:
    if named:
        return any(name == str(case.number) or name.lower() in case.name.lower() for name in named)
    return case.quick or not quick


async def play(cases: list[Case], folder: Path, *, seed: int, scale: float = 1.0) -> list[str]:
    """Play cases one after the other in one world, print a row for each, and return all findings."""
    findings: list[str] = []
    async with open_world(folder, random.Random(seed)) as world:
        for case in cases:
            findings += await play_one(world, case, scale)
    return findings


async def play_one(world: World, case: Case, scale: float) -> list[str]:
    """Play one case in a world and have it judged."""
    world.faults, world.died = 0, []
    began, load = time.monotonic(), world.begin()
    try:
        own = await case.play(world, load, scale) or []
    except AssertionError as error:
        own = [str(error)]
    verdict = await judge(
        world.stores.database_url, load.tenant.id, set(load.keys.values()), states=case.states, spends=case.spends
    )
    await world.all_ready()
    seconds = time.monotonic() - began
    print(_row(case, verdict, world.faults, load.refused, seconds), flush=True)
    return [f"{case.name}: {line}" for line in [*own, *verdict.findings, *wrong_readers(load), *world.died]]


def _row(case: Case, verdict: Verdict, faults: int, refused: int, seconds: float) -> str:
    name = f"{case.number:>2} {case.name}"
    return (
        f"{name:<40}{verdict.jobs:>6}{faults:>8}{verdict.lost:>6}{verdict.doubled:>9}{verdict.restarted:>11}{verdict.spent:>7}"
        f"{refused:>9}{seconds:>9.1f}"
    )


if __name__ == "__main__":
    sys.exit(main())
