"""An upgrade under load: an earlier commit serves, this code migrates, starts beside it, and takes over. No job may notice.

    python -m tests.chaos --upgrade            from commits that are chosen (`chosen_commits`)
    python -m tests.chaos --upgrade v0.1.0     from this one

The commit's code comes out of the repository's own history (`git archive`), so where there is none, nothing can be tried. It
runs in this environment: what it needs of packages must be here.
"""

import asyncio
import io
import random
import re
import subprocess
import sys
import tarfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from schema.installation.migrate import MIGRATIONS, migrate, newest_migration
from tests.chaos.table import Case, spent_tries
from tests.chaos.world import Asked, Load, World, open_world
from tests.system import ROOT

NO_HISTORY = "There is no history of a git repository here, so there is no earlier version to upgrade from: skipped."
BACK = 60
"""How many commits before this one the second of the chosen is: a day's work."""
NEW = ("api3", "api4", "chat3", "chat4", "scheduler2")
OLD = ("api", "api2", "chat", "chat2", "scheduler")
STEP_S = 3.0
EXTRA = {"schema": {"zebra": {"type": "string"}, "ant": {"type": "object", "properties": {"b": 1, "a": 2}}}}


def chosen_commits() -> list[str]:
    """Return what upgrades come from: the newest tag, or else the commit before the newest migration, and one of some time
    before; none where there is no history."""
    tag = _git("describe", "--tags", "--abbrev=0")
    if tag:
        return [tag]
    versions = MIGRATIONS.relative_to(ROOT) / "versions"
    (newest,) = (ROOT / versions).glob(f"{newest_migration()}_*.py")
    added = _git("log", "--diff-filter=A", "--format=%h", "-1", "--", str(newest.relative_to(ROOT)))
    before = _git("rev-parse", "--short", f"{added or 'HEAD'}^")
    earlier = _git("rev-parse", "--short", f"HEAD~{BACK}")
    return list(dict.fromkeys(commit for commit in (before, earlier) if commit))


def check_out(commit: str, folder: Path) -> Path:
    """Write the files of a commit into `folder`. Raises ValueError for a commit that is not there."""
    folder.mkdir(parents=True)
    done = subprocess.run(["git", "archive", "--format=tar", commit], cwd=ROOT, capture_output=True, check=False)
    if done.returncode:
        raise ValueError(f"The history has no commit {commit}: {done.stderr.decode().strip()[:200]}")
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        archive.extractall(folder, filter="data")
    return folder


def _git(*arguments: str) -> str:
    """Return what git says, nothing if it can't."""
    try:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


async def upgraded_world(commit: str, folder: Path, seed: int, run: Any, scale: float) -> list[str]:
    """Run the upgrade from a commit in a world of its own; `run` plays a case and has it judged."""
    code = await asyncio.to_thread(check_out, commit, folder / "code")
    async with open_world(folder, random.Random(seed), code=code) as world:
        return await run(world, Case(0, f"upgrade from {commit}", upgrade, quick=False), scale)


async def upgrade(world: World, load: Load, scale: float) -> list[str]:
    """Migrate while the old version serves, start the new one beside it, stop the old one; chats are asked all the while."""
    done = asyncio.Event()
    asking = [asyncio.ensure_future(_ask_on(world, load, done, scale)) for _ in range(2)]
    try:
        await world.pause(STEP_S, STEP_S)
        found = await asyncio.to_thread(_check, world.stores.database_url)
        await asyncio.to_thread(migrate, world.stores.database_url)
        await world.pause(2 * STEP_S, 2 * STEP_S)  # the old version alone, on the new schema
        world.system.code = ROOT
        for name in NEW:
            world.system.start(name)
        for name in NEW:
            await world.system.ready(name)
            world.keep(name)
        world.apis = (*OLD[:2], *NEW[:2])
        await world.pause(2 * STEP_S, 2 * STEP_S)  # both: either's jobs are run by either's workers
        world.apis = NEW[:2]
        for name in OLD:
            world.faults += 1
            await world.remove(name)
            await world.pause(STEP_S, STEP_S)  # what the new API has accepted, the old workers run
    finally:
        done.set()
        await asyncio.gather(*asking)
    return found + await spent_tries(world, load)


async def _ask_on(world: World, load: Load, done: asyncio.Event, scale: float) -> None:
    """Ask until told otherwise: in sessions, followed and not, and with what clients send beside OpenAI's fields."""
    while not done.is_set():
        await asyncio.gather(
            world.submit(load, int(10 * scale)),
            world.submit(load, int(5 * scale), ask=with_extras),
            world.read(load, int(5 * scale), "text-60-at-30"),
        )


def with_extras(model: str, message: str) -> Asked:
    """A completion whose message carries objects of somebody's own, as a job in the background."""
    said = [{"role": "system", "content": "Be brief.", "x_format": EXTRA}, {"role": "user", "content": message}]
    headers = {"X-Headrace-Run-At": datetime.now(UTC).isoformat(timespec="seconds")}
    return "/v1/chat/completions", {"model": model, "messages": said}, headers


def _check(database_url: str) -> list[str]:
    """What is wrong with `upgrade --check`, which must say that this upgrade can be done while the version before serves."""
    program = [sys.executable, "-m", "api", "upgrade", "--check"]
    done = subprocess.run(program, cwd=ROOT, env=_only(database_url), capture_output=True, text=True, check=False)
    said = re.sub(r"\s+", " ", done.stdout + done.stderr)
    serves = "can run while the version before serves" in said or "nothing is to be migrated" in said
    return [] if serves and done.returncode == 0 else [f"upgrade --check said otherwise: {said[:1500]}"]


def _only(database_url: str) -> dict[str, str]:
    from tests.fork_server import base_environment

    return {**base_environment(), "HEADRACE_DATABASE_URL": database_url}
