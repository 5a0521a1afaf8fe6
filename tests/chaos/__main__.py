"""`python -m tests.chaos`, which is what `./headrace chaos` runs: break things, judge, print a table."""

import argparse
import asyncio
import random
import re
import shutil
import sys
import tempfile
import time
from itertools import groupby
from pathlib import Path

from tests.chaos.accounts import judge_accounts
from tests.chaos.cases import CASES, Case
from tests.chaos.cluster.cluster import TOOLS, open_cluster
from tests.chaos.cluster.network import why_not
from tests.chaos.mutants import run_mutants
from tests.chaos.oracle import Verdict, judge
from tests.chaos.processes import Logs, count_files, judge_files
from tests.chaos.upgrade import NO_HISTORY, chosen_commits, upgraded_world
from tests.chaos.world import Load, World, open_world, reader_errors
from tests.variants import VARIANTS

DESCRIPTION = """\
Kills and restarts workers, API processes, Redis and Postgres under load, and checks afterwards that no job was lost or
done twice. Everything runs on this machine, in stores of its own: a stack of yours is left alone.

The quick set takes about four minutes on two cores, the whole set several times that. Each case prints a row when it is
over; findings follow at the end with the seed and the folder of the processes' logs, which is removed if there are none.
Exit status 0 means that nothing was found.
"""

EXAMPLES = """\
examples:
  ./headrace chaos --quick
  ./headrace chaos --list                      the cases, with their numbers
  ./headrace chaos --case 5 --case "late"      some cases only
  ./headrace chaos --case 5 --seed 1234        a run once more, with the same random choices
  ./headrace chaos --quick --variant standby   over a Postgres whose commits wait for a standby
  ./headrace chaos --quick --variant sentinel  over a Redis that sentinels watch
  ./headrace chaos --upgrade                   an earlier commit serves, this code takes over under load
  ./headrace chaos --mutant all                break a promise in a copy of the code: the oracle must notice
"""

HEAD = (
    f"{'case':<40}{'jobs':>6}{'faults':>8}{'lost':>6}{'doubled':>9}"
    f"{'wrong':>7}{'innocent':>10}{'restarted':>11}{'refused':>9}{'seconds':>9}"
)


def main() -> int:
    """Run what was asked for and return the exit status."""
    parser = _parser()
    wanted = parser.parse_args()
    if wanted.mutant:
        return run_mutants(wanted.mutant)
    if wanted.list:
        print("\n".join(f"{case.number:>3}  {case.name}{'  (quick)' if case.quick else ''}" for case in CASES))
        return 0
    if wanted.upgrade is not None:
        return asyncio.run(run_upgrades(wanted.upgrade, seed=wanted.seed, scale=wanted.scale, keep=wanted.keep))
    chosen = [case for case in CASES if _is_wanted(case, wanted.quick, wanted.case)]
    if not chosen:
        parser.error("no case matches; --list shows them all")
    folder = Path(tempfile.mkdtemp(prefix="headrace-chaos-"))
    print(f"{len(chosen)} cases; seed {wanted.seed}; logs of the processes in {folder}\n{HEAD}", flush=True)
    findings = asyncio.run(run_cases(chosen, folder, seed=wanted.seed, scale=wanted.scale, variant=wanted.variant))
    return conclude(findings, folder, seed=wanted.seed, keep=wanted.keep)


def conclude(findings: list[str], folder: Path, *, seed: int, keep: bool) -> int:
    """Tell what was found, remove the logs if that is nothing, and return the exit status."""
    for finding in findings:
        print(f"  {finding}")
    if not findings and not keep:
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{f'{len(findings)} findings' if findings else 'No job was lost, none was done twice.'} (seed {seed})")
    return 1 if findings else 0


async def run_upgrades(commits: list[str], *, seed: int, scale: float, keep: bool) -> int:
    """Upgrade from each of the commits, or from those that are chosen if none is named."""
    chosen = commits or chosen_commits()
    if not chosen:
        print(NO_HISTORY)
        return 0
    folder = Path(tempfile.mkdtemp(prefix="headrace-upgrade-"))
    print(f"upgrades from {', '.join(chosen)}; seed {seed}; logs of the processes in {folder}\n{HEAD}", flush=True)
    findings: list[str] = []
    for commit in chosen:
        findings += await upgraded_world(commit, folder / re.sub(r"\W", "_", commit), seed, run_case, scale)
    return conclude(findings, folder, seed=seed, keep=keep)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="./headrace chaos",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="only the cases of the quick set")
    parser.add_argument("--list", action="store_true", help="list the cases and exit")
    parser.add_argument("--case", action="append", help="a case's number or part of its name; may be repeated")
    parser.add_argument(
        "--upgrade",
        nargs="*",
        metavar="COMMIT",
        help="upgrade from earlier commits under load; without names, from two",
    )
    parser.add_argument("--mutant", help="break headrace in a copy, and show that it is noticed; a name, or all")
    parser.add_argument(
        "--seed", type=int, default=random.randrange(1 << 32), help="make the choices of an earlier run"
    )
    parser.add_argument("--scale", type=float, default=1.0, help="multiplies load and number of faults (default: 1)")
    parser.add_argument("--variant", choices=sorted(VARIANTS), help="other stores than one Postgres and one Redis")
    parser.add_argument("--keep", action="store_true", help="keep the processes' logs even if nothing was found")
    return parser


def _is_wanted(case: Case, quick: bool, named: list[str] | None) -> bool:
    if named:
        return any(name == str(case.number) if name.isdigit() else name.lower() in case.name.lower() for name in named)
    return case.quick or not quick


async def run_cases(
    cases: list[Case], folder: Path, *, seed: int, scale: float = 1.0, variant: str | None = None
) -> list[str]:
    """Play cases one after the other in one world, print a row for each, and return all findings."""
    findings: list[str] = []
    for where, some in groupby(sorted(cases, key=lambda case: case.where != "machine"), key=lambda case: case.where):
        if where == "cluster" and (reason := why_not(*TOOLS)) is not None:
            print(f"   the cluster's cases are left out: {reason}", flush=True)
            continue
        own = folder / where
        own.mkdir()
        opened = (
            open_cluster(own, random.Random(seed))
            if where == "cluster"
            else open_world(own, random.Random(seed), variant=variant)
        )
        async with opened as world:
            for case in some:
                findings += await run_case(world, case, scale)
    return findings


async def run_case(world: World, case: Case, scale: float) -> list[str]:
    """Play one case in a world and have it judged."""
    world.faults, world.died, world.notes = 0, [], []
    began, load = time.monotonic(), world.begin()
    files, logs = count_files(world.system.processes), Logs(world.system.folder)
    try:
        own = await case.play(world, load, scale) or []
    except AssertionError as error:
        own = [str(error)]
    verdict = await judge(
        world.stores.database_url,
        load.tenant.id,
        set(load.keys.values()),
        states=case.states,
        guilty=frozenset(load.guilty),
    )
    await world.all_ready()
    own += reader_errors(load) + world.died
    own += await _judge_rest(world, load, verdict, files, logs)
    seconds = time.monotonic() - began
    print("\n    ".join([_row(case, verdict, world.faults, load.refused, seconds), *world.notes]), flush=True)
    return [f"{case.name}: {line}" for line in [*verdict.findings, *own]]


async def _judge_rest(
    world: World, load: Load, verdict: Verdict, files: dict[int, tuple[str, int]], logs: Logs
) -> list[str]:
    """Judge what was charged and reserved, what is held open and what was logged."""
    stores = world.stores
    wrong, charged_twice = await judge_accounts(stores.database_url, stores.redis_url, load.tenant.id, verdict.used)
    verdict.doubled += charged_twice
    wrong += await judge_files(world.system.processes, files)
    return wrong + logs.find(world.secrets_of(load))


def _row(case: Case, verdict: Verdict, faults: int, refused: int, seconds: float) -> str:
    name = f"{case.number:>2} {case.name}"
    return (
        f"{name:<40}{verdict.jobs:>6}{faults:>8}{verdict.lost:>6}{verdict.doubled:>9}{verdict.wrong:>7}{verdict.innocent:>10}"
        f"{verdict.restarted:>11}{refused:>9}{seconds:>9.1f}"
    )


if __name__ == "__main__":
    sys.exit(main())
