"""Mutants: headrace with one promise broken on purpose, in a copy. The oracle must say so, or it sees nothing.

python -m tests.chaos --mutant all
"""

import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
FOLDERS = ("api", "workers", "graphs", "tools", "schema", "tests")


@dataclass(frozen=True)
class Mutant:
    """A change of one place in `path`, the case that must notice it, and words of the finding."""

    name: str
    path: str
    before: str
    after: str
    case: int
    finding: str
    scale: float = 0.1


MUTANTS = (
    Mutant(
        "claim-without-compare-and-set",
        "schema/queries/sql/claim_job.sql",
        """AND state = %(from_state)s AND dispatch_seq = %(dispatch_seq)s
  RETURNING *, extract(epoch FROM deadline_at - now())::float8 AS left_s,
    extract(epoch FROM started_at - created_at)::float8 AS waited_s,
    started_at = now() AS is_first),
tried AS (
  INSERT INTO attempts (tenant_id, job_id, attempt, worker) SELECT tenant_id, id, attempt, %(worker)s FROM claimed)""",
        # The key of attempts would stop a second claim under the same number.
        """AND %(from_state)s::text IS NOT NULL AND %(dispatch_seq)s::int >= 0
  RETURNING *, extract(epoch FROM deadline_at - now())::float8 AS left_s,
    extract(epoch FROM started_at - created_at)::float8 AS waited_s,
    started_at = now() AS is_first),
tried AS (
  INSERT INTO attempts (tenant_id, job_id, attempt, worker) SELECT tenant_id, id, attempt, %(worker)s FROM claimed
  ON CONFLICT DO NOTHING)""",
        case=19,
        finding="jobs: ",
    ),
    Mutant(
        "fence-without-holder",
        "workers/stream/lua/append.lua",
        " or (attempt == mine and holder and holder ~= ARGV[9])",
        "",
        case=29,
        finding="its reader saw not what",
        scale=0.4,
    ),
    Mutant(
        "webhook-under-another-id-each-time",
        "workers/webhooks/deliverer.py",
        "message_name(message.event_id), int(",
        "message_name(message.id) + str(claimed.attempt), int(",
        case=30,
        finding="under several ids",
    ),
    Mutant(
        "end-without-its-webhooks",
        "schema/queries/sql/finish_job.sql",
        "CASE WHEN ended.of_batch OR ended.callback IS NULL AND NOT EXISTS (",
        "CASE WHEN extract(microseconds FROM clock_timestamp())::int % 5 = 0 OR ended.callback IS NULL AND NOT EXISTS (",
        case=30,
        finding="was not told of",
    ),
    Mutant(
        "scheduled-job-before-its-due-time-is-noted",
        "workers/schedules/due.py",
        """"submitted", job_id=job_id, missed=missed),
        )
        try:
            await self._jobs.submit(tenant_id, schedule, permission, job_id, statements)
""",
        """"submitted", job_id=job_id, missed=missed),
        )
        try:
            await self._jobs.submit(tenant_id, schedule, permission, job_id, ())
            await run_moves(self._pool, tenant_id, list(statements))
""",
        case=32,
        finding="nobody was promised it",
    ),
    Mutant(
        "no-sweeper",
        "workers/scheduler.py",
        "            await self._sweep_lost()\n",
        "",
        case=1,
        finding="jobs: still running",
        scale=0.4,  # enough kills to meet workers that have jobs
    ),
    Mutant(
        "dropped-delta",
        "workers/queue/attempts.py",
        "        match event:\n            case MessageCompleted():\n",
        """        if isinstance(event, MessageDelta | MessageCompleted):
            import msgspec

            event = msgspec.structs.replace(event, text=event.text.replace(" wheel", ""))
        match event:
            case MessageCompleted():
""",
        case=19,
        finding="said other words",
    ),
    Mutant(
        "usage-charged-twice",
        "schema/queries/sql/finish_job.sql",
        "u.jobs, greatest(u.input_tokens, 0), greatest(u.output_tokens, 0),",
        "2 * u.jobs, 2 * u.input_tokens, 2 * u.output_tokens,",
        case=19,
        finding="were charged",
    ),
)


def run_mutants(name: str) -> int:
    """Run the mutant of this name, or "all"; return 0 if the oracle noticed each."""
    chosen = [mutant for mutant in MUTANTS if name in (mutant.name, "all")]
    if not chosen:
        print(f"no mutant is called {name}; there are: {', '.join(mutant.name for mutant in MUTANTS)}")
        return 2
    noticed = [_is_noticed(mutant) for mutant in chosen]
    return 0 if all(noticed) else 1


def _is_noticed(mutant: Mutant) -> bool:
    with tempfile.TemporaryDirectory(prefix="headrace-mutant-") as folder:
        copy = Path(folder)
        for part in FOLDERS:
            shutil.copytree(ROOT / part, copy / part, ignore=shutil.ignore_patterns("__pycache__"))
        apply(mutant, copy)
        command = [sys.executable, "-m", "tests.chaos", "--case", str(mutant.case), "--scale", str(mutant.scale)]
        run = subprocess.run(command, cwd=copy, capture_output=True, text=True, check=False)
    found = [line for line in run.stdout.splitlines() if mutant.finding in line]
    print(f"{mutant.name}: {'noticed' if run.returncode == 1 and found else 'NOT NOTICED'}", flush=True)
    for line in found[:3] if found else (run.stdout + run.stderr).splitlines()[-15:]:
        print(f"   {line.strip()}", flush=True)
    return run.returncode == 1 and bool(found)


def apply(mutant: Mutant, root: Path) -> None:
    """Change the code under `root`. Raises AssertionError if the place is not there, or more than once."""
    path = root / mutant.path
    code = path.read_text()
    assert code.count(mutant.before) == 1, f"{mutant.name}: {mutant.path} has changed"
    path.write_text(code.replace(mutant.before, mutant.after))
