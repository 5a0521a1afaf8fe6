"""`python -m tests.bench`, which is what `./headrace bench` runs. Ends with status 1 only when something did not complete."""

import argparse
import gc
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import uvloop

from api.cli.arguments import path_here
from api.local.stores.local_stores import Stores, open_stores
from schema.installation.migrate import migrate
from tests.bench.figures import NAMES, SETUPS, Setup
from tests.bench.plan import FULL, QUICK, Plan
from tests.bench.profiling.lanes import draw_busy_lanes, draw_lanes, format_lanes
from tests.bench.profiling.samples import sample_report, sampler_environment
from tests.bench.profiling.statements import log_statements, statement_report
from tests.bench.reporting.measurement import Measurement
from tests.bench.reporting.report import as_json, machine, table, verdicts, versions
from tests.bench.testbed import Testbed, fsync_ms, running_testbed
from workers.process_limits import raise_file_limit

DESCRIPTION = f"""\
Measures how fast headrace is, against a simulated model, with real processes and stores of their own on this machine.
Targets stand beside the figures; missing one is no failure. Exit status 1 means that a measurement did not complete.

The quick set takes about four minutes on two cores, the whole set several times that, and both want the machine to
themselves. Each table is printed as soon as it
is measured; nothing is written to disk unless you ask for --json.

Measurements: {", ".join(NAMES[:6])},
{", ".join(NAMES[6:])}.
"""

EXAMPLES = """\
examples:
  ./headrace bench --quick
  ./headrace bench --only first-token          a single measurement
  ./headrace bench --only growth --past 100000 --past 1000000
  ./headrace bench --json bench.json           keep the figures
"""


def main(arguments: Sequence[str]) -> int:
    """Measure, print, write; return the exit status."""
    args = _arguments(arguments)
    raise_file_limit()
    plan, only, began = (QUICK if args.quick else FULL), args.only or NAMES, time.monotonic()
    if args.past:
        plan = replace(plan, past=tuple(sorted(args.past)))
    found: list[Measurement] = []
    # Not /tmp, which may be memory: commits must reach a disk, as they do for users.
    with tempfile.TemporaryDirectory(
        prefix="headrace-bench-", dir="/var/tmp" if Path("/var/tmp").is_dir() else None
    ) as name:
        folder = Path(name)
        disk_ms = fsync_ms(folder)
        _introduce(plan, disk_ms)
        with open_stores(folder / "home", durable=True) as running:
            migrate(running.database_url)
            for setup in SETUPS:
                if any(figure in only for figure in setup.measures):
                    _run(setup, plan, running, folder, only, found, profile=args.profile)
    took_s = time.monotonic() - began
    print(f"\n{verdicts(found)}\n{took_s:.0f} s.")
    if args.json:
        args.json.write_text(json.dumps(as_json(plan, found, took_s=took_s, fsync_ms=disk_ms), indent=1) + "\n")
        print(f"All figures: {args.json}")
    return 1 if any(one.failures for one in found) else 0


def _run(
    setup: Setup,
    plan: Plan,
    where: Stores,
    folder: Path,
    only: Sequence[str],
    found: list[Measurement],
    *,
    profile: bool,
) -> None:
    """Measure a setup. One whose processes don't start is a failure among the figures; the other setups go on."""
    try:
        uvloop.run(_measure(setup, plan, where, folder, only, found, profile=profile))
    except AssertionError as error:
        broken = Measurement(name=setup.name, title=f"Processes: {setup.name}", failures=[str(error)])
        found.append(broken)
        print(table(broken), flush=True)


async def _measure(
    setup: Setup,
    plan: Plan,
    where: Stores,
    folder: Path,
    only: Sequence[str],
    found: list[Measurement],
    *,
    profile: bool,
) -> None:
    """Start the processes of one setup, measure its figures, print each as it is there."""
    logs = folder / setup.name.replace(" ", "-").replace(",", "")
    logs.mkdir()
    pids = {"redis": where.valkey and where.valkey.pid, "postgres": where.postgres and where.postgres.pid}
    async with running_testbed(
        where.database_url,
        where.redis_url,
        folder=logs,
        pids={name: pid for name, pid in pids.items() if pid},
        roles=setup.roles,
        settings={**setup.settings, **(sampler_environment(logs) if profile else {})},
    ) as bed:
        if profile:
            print(format_lanes(await draw_lanes(bed), "One chat, nothing else"), flush=True)
            print(format_lanes(await draw_busy_lanes(bed), "One chat among 100 streams"), flush=True)
            await _show_statements(where, bed)
        for name, measure in setup.measures.items():
            if name in only:
                gc.collect()
                gc.freeze()
                found.append(await measure(bed, plan))
                print(table(found[-1]), flush=True)
    if profile:
        print(sample_report(logs), flush=True)


async def _show_statements(where: Stores, bed: Testbed) -> None:
    if where.postgres is None:
        return
    log = where.postgres.log_file  # asked for once: asking turns a long log over
    begin = log.stat().st_size
    log_statements(where.database_url, on=True)
    await draw_lanes(bed)
    log_statements(where.database_url, on=False)
    print(statement_report(log, begin), flush=True)


def _introduce(plan: Plan, disk_ms: float) -> None:
    here = machine(disk_ms)
    print(
        f"headrace {versions()['headrace']}, {plan.name}: {here['cpus']} cores ({here['cpu']}), load {here['load']:.1f} "
        f"before; one fsync {disk_ms:.2f} ms. Client, stand-in, stores and headrace share the machine.",
        flush=True,
    )


def _arguments(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="./headrace bench",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="the small set, in about four minutes")
    parser.add_argument(
        "--only", action="append", choices=NAMES, metavar="NAME", help="measure only this; may be repeated"
    )
    parser.add_argument(
        "--past",
        action="append",
        type=int,
        metavar="JOBS",
        help="how many jobs have ended before, for growth; may be repeated; ten million take 25 GB",
    )
    parser.add_argument("--json", type=path_here, metavar="FILE", help="also write all figures to FILE")
    parser.add_argument(
        "--profile", action="store_true", help="show where the time goes; this slows everything down by a tenth"
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
