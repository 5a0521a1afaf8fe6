"""The oracle: what must be true after every case, read straight from the stores with the owner's rights.

It knows what the model stand-in says, so a word that is missing everywhere is noticed too. What was charged and reserved
is judged in `accounts.py`, what processes hold open and log in `processes.py`.
"""

import asyncio
import json
import time
import zlib
from collections import Counter
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import dict_row

from schema.states import LIVE_SQL
from tests.counterparts.behaviours import parse, text
from tests.journeys.client import TERMINAL_EVENTS, ReceivedEvent, format_events

QUIET_TIMEOUT_S = 180.0
TERMINAL = ("succeeded", "failed", "cancelled")
EXAMPLES = 3
LINE = 240

JOBS = """
SELECT j.id, j.state, j.model, j.session_id, j.attempt, j.tries, j.max_tries, j.result, j.error, j.lease_owner, l.last_seq,
  l.frames,
  (SELECT array_agg(m.parts -> 0 ->> 'text') FROM messages m WHERE m.tenant_id = j.tenant_id AND m.job_id = j.id
    AND m.role = 'assistant') AS said,
  (SELECT array_agg(a.attempt || ' ' || coalesce(a.outcome, 'open') ORDER BY a.attempt) FROM attempts a
    WHERE a.tenant_id = j.tenant_id AND a.job_id = j.id) AS attempts
FROM jobs j LEFT JOIN job_logs l ON l.tenant_id = j.tenant_id AND l.job_id = j.id WHERE j.tenant_id = %s
"""


@dataclass(frozen=True)
class Charged:
    """What jobs say that they used, or what was charged for them: how many jobs, and their tokens."""

    jobs: int = 0
    input_tokens: int = 0
    output_tokens: int = 0


@dataclass
class Verdict:
    """What the oracle found in one case. `innocent` jobs failed although the case harmed others; `wrong` said other words
    than the model; `used` is what the jobs' logs say."""

    jobs: int = 0
    lost: int = 0
    doubled: int = 0
    wrong: int = 0
    innocent: int = 0
    restarted: int = 0
    states: Counter[str] = field(default_factory=Counter)
    findings: list[str] = field(default_factory=list)
    used: Charged = Charged()


async def judge(
    database_url: str,
    tenant_id: UUID,
    accepted: set[UUID],
    *,
    states: tuple[str, ...] = ("succeeded",),
    guilty: frozenset[UUID] = frozenset(),
) -> Verdict:
    """Wait until the tenant's jobs have come to rest, then look at each. `states` are those that the case allows; the
    `guilty` jobs must have failed."""
    verdict = Verdict(jobs=len(accepted))
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True, row_factory=dict_row) as db:
        await _quiesce(db, tenant_id)
        rows = await (await db.execute(JOBS, (tenant_id,))).fetchall()
    found, ended = {row["id"] for row in rows}, {row["id"] for row in rows if row["state"] in TERMINAL}
    verdict.lost = len(accepted - ended)
    verdict.doubled = len(found - accepted)  # a repeated POST made a second job
    verdict.states.update(row["state"] for row in rows)
    verdict.restarted = sum(row["attempt"] > 1 for row in rows)
    wrong = [(missing, "it was accepted and has no row") for missing in accepted - found]
    wrong += [(extra, "it exists, and nobody was promised it") for extra in found - accepted]
    for row in rows:
        lines = _job_errors(row, ("failed",) if row["id"] in guilty else states)
        verdict.doubled += any(line.startswith("two") for line in lines)
        verdict.wrong += any("words" in line for line in lines)
        verdict.innocent += row["state"] == "failed" not in states and row["id"] not in guilty
        wrong += [(row["id"], line) for line in lines]
    verdict.used = _used(rows)
    verdict.findings = one_line_each(wrong)
    return verdict


def one_line_each(wrong: list[tuple[Any, str]]) -> list[str]:
    """Return a line for each kind of finding, with how many there are and the first few ids."""
    ids: dict[str, list[str]] = {}
    for who, line in wrong:
        ids.setdefault(" ".join(line.split())[:LINE], []).append(str(who))
    return [
        f"{len(found)} jobs: {line} ({', '.join(found[:EXAMPLES])}{', …' if len(found) > EXAMPLES else ''})"
        for line, found in ids.items()
    ]


def _used(rows: list[dict[str, Any]]) -> Charged:
    """Return what the logs say that was used; an ended job says it once or not at all."""
    logs = [read_log(zlib.decompress(row["frames"])) for row in rows if row["frames"] is not None]
    said = [event.data for events in logs for event in events if event.type == "usage.recorded"]
    return Charged(len(said), sum(data["input_tokens"] for data in said), sum(data["output_tokens"] for data in said))


async def _quiesce(db: psycopg.AsyncConnection[Any], tenant_id: UUID) -> None:
    give_up = time.monotonic() + QUIET_TIMEOUT_S
    sql = f"SELECT count(*) AS open FROM jobs WHERE tenant_id = %s AND state IN {LIVE_SQL}"
    while time.monotonic() < give_up:
        row = await (await db.execute(sql, (tenant_id,))).fetchone()
        if row is not None and not row["open"]:
            return
        await asyncio.sleep(0.1)


def _job_errors(row: dict[str, Any], states: tuple[str, ...]) -> list[str]:
    """Everything that contradicts itself in a job, its attempts, its messages and its log."""
    state, attempts = row["state"], [tuple(a.split(" ", 1)) for a in row["attempts"] or []]
    if state not in TERMINAL:
        return [f"still {state} after {QUIET_TIMEOUT_S:g} s ({len(attempts)} attempts)"]
    wrong = [] if state in states else [f"it {state}: {row['error']}"]
    said = row["said"] or []
    if len(said) > 1:
        wrong.append(f"two answers: {len(said)}")
    if row["lease_owner"] is not None:
        wrong.append("an ended job is still leased")
    numbers = [
        int(number) for number, _ in attempts
    ]  # in order, and with gaps: those of dispatches that nobody answered
    if row["attempt"] != max(numbers, default=0):
        wrong.append(f"its last attempt is {row['attempt']}, and there are {attempts}")
    outcomes = Counter(outcome for _, outcome in attempts)
    if outcomes["open"]:
        wrong.append(f"an attempt never ended: {attempts}")
    if outcomes["succeeded"] > 1:
        wrong.append(f"two results: {attempts}")
    if state == "succeeded" and attempts and attempts[-1][1] != "succeeded":
        wrong.append(f"it succeeded, and its last attempt {attempts[-1][1]}")
    return wrong + _log_errors(row, said)


def _log_errors(row: dict[str, Any], said: list[str]) -> list[str]:
    if row["frames"] is None:
        return ["it has no log"]
    events = read_log(zlib.decompress(row["frames"]))
    wrong = []
    if [event.seq for event in events] != list(range(1, row["last_seq"] + 1)):
        wrong.append(f"its log is not dense: {[event.seq for event in events][:20]}…")
    if [event.type for event in events if event.type in TERMINAL_EVENTS] != [events[-1].type] or events[
        -1
    ].type != f"job.{row['state']}":
        wrong.append(f"its log ends with {events[-1].type}")
    if row["state"] == "succeeded":
        completed = [event.data["text"] for event in events if event.type == "message.completed"]
        told = {*completed, *said, format_events(events), row["result"]["text"]}
        if len(told) != 1 or len(completed) != 1 or len(said) != (row["session_id"] is not None):
            wrong.append(
                f"log, message and result differ: {len(completed)} completed, {len(said)} said, {len(told)} texts"
            )
        if told != {words_of(row["model"])}:
            wrong.append(f"{row['model']} said other words than these")
        usage = [event.data for event in events if event.type == "usage.recorded"]
        if [tokens_of(row["model"])] != [data["output_tokens"] for data in usage]:
            wrong.append(f"its log has {len(usage)} usages, of {[data['output_tokens'] for data in usage]} tokens")
    return wrong


def words_of(model: str) -> str:
    """Return what the stand-in says under this name."""
    return text(tokens_of(model))


def tokens_of(model: str) -> int:
    """Return how many tokens the stand-in says, and charges for, under this name."""
    behaviour = parse(model.removeprefix("openai/"))
    assert behaviour is not None, model
    return behaviour.tokens


def read_log(frames: bytes) -> list[ReceivedEvent]:
    """The events of a compacted log."""
    events = []
    for raw in frames.split(b"\n\n"):
        if raw:
            number, name, data = raw.decode().split("\n", 2)
            events.append(ReceivedEvent(int(number[4:]), name[7:], json.loads(data[6:]), raw + b"\n\n"))
    return events
