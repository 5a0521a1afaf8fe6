"""`python -m tests.clients`, which is what `./headrace clients` runs: each client's check, and a line of what came of it."""

import argparse
import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.clients.clients import CLIENTS, Client
from tests.clients.environments import NotInstalled, check_command, install, version_of
from tests.clients.stage import Stage, open_stage

DESCRIPTION = """\
Runs clients that others made against a headrace that is started for it, with a simulated model. Each client has an
environment of its own in .headrace/clients, which is made when the client is first run: that needs a package index, and
for some clients Node with npm. Each prints one line. Exit status 0 means that all worked.
"""

EXAMPLES = """\
examples:
  ./headrace clients                     all of them
  ./headrace clients openai_agents       one
  ./headrace clients --list              their names, and what is checked
  ./headrace clients --fresh             with the newest versions, installed anew
"""


def main() -> int:
    """Run what was asked for and return the exit status."""
    parser = _parser()
    wanted = parser.parse_args()
    unknown = set(wanted.names) - {client.name for client in CLIENTS}
    if unknown:
        parser.error(f"there is no client {min(unknown)!r}; --list shows them")
    chosen = [client for client in CLIENTS if not wanted.names or client.name in wanted.names]
    if wanted.list:
        print("\n".join(f"{client.name:<22}{client.checks}" for client in chosen))
        return 0
    folder = Path(tempfile.mkdtemp(prefix="headrace-clients-"))
    failed = asyncio.run(_run_all(chosen, folder, fresh=wanted.fresh))
    if failed:
        print(f"failed: {', '.join(failed)}; logs of the processes are in {folder}")
        return 1
    shutil.rmtree(folder, ignore_errors=True)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="./headrace clients",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="CLIENT", help="a client's name; all of them by default")
    parser.add_argument("--list", action="store_true", help="list the clients and exit")
    parser.add_argument("--fresh", action="store_true", help="install the newest versions of the clients' packages")
    return parser


async def _run_all(chosen: list[Client], folder: Path, *, fresh: bool) -> list[str]:
    """Run the clients one after the other, and return the names of those that failed."""
    async with open_stage(folder) as stage:
        return [client.name for client in chosen if not await asyncio.to_thread(_run, client, stage, fresh=fresh)]


def _run(client: Client, stage: Stage, *, fresh: bool) -> bool:
    began = time.monotonic()
    try:
        folder = install(client, fresh=fresh)
    except NotInstalled as error:
        print(f"{client.name:<22}not installed: {error}", flush=True)
        return False
    env = {**os.environ, "HEADRACE_URL": stage.url, "HEADRACE_API_KEY": stage.key}
    try:
        done = subprocess.run(
            check_command(client, folder),
            env=env,
            capture_output=True,
            text=True,
            timeout=client.timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        print(f"{client.name:<22}not done after {client.timeout_s} s", flush=True)
        return False
    told = f"{client.name:<22}{client.package} {version_of(client, folder)}"
    if done.returncode:
        print(f"{told}: failed\n{done.stdout[-2000:]}{done.stderr[-6000:]}", flush=True)
        return False
    print(f"{told}: {done.stdout.strip().splitlines()[-1]}, {time.monotonic() - began:.1f} s", flush=True)
    return True


if __name__ == "__main__":
    sys.exit(main())
