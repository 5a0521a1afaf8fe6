"""What a schedule submits: the fields of a job that were worked out when it was saved, with models and agents by name."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec

from schema.errors import NotFound
from schema.identity.rights import Right
from schema.job_kinds import KINDS, Kind
from schema.postgres.batch import Statement
from schema.queries.benchmarks.benchmarks import add_benchmark
from schema.queries.jobs.submissions import Callback, Submission, Submitter
from schema.queries.schedules.schedules import Schedule
from workers.benchmarks.plan import BenchmarkSettings, total_steps


class CompiledJob(msgspec.Struct, frozen=True, kw_only=True):
    """A job to submit again and again. `rights` are those of whoever saved it, `right` is what its owner needs by now,
    `input_tokens` and `max_tokens` what it may use. A `pipeline` is the id of a tenant's own, of which the newest
    version runs; `models` are all that it names. A `collection` is the id of the one that documents are fetched into."""

    kind: Kind
    right: Right
    rights: list[Right]
    payload: dict[str, Any]
    model: str
    models: list[str]
    agent: str | None = None
    parts: list[dict[str, Any]] | None = None
    title: str = ""
    pipeline: UUID | None = None
    collection: UUID | None = None
    benchmark: BenchmarkSettings | None = None
    input_tokens: int = 0
    max_tokens: int | None = None
    callback: Callback | None = None


def read_compiled(schedule: Schedule) -> CompiledJob:
    """Return what a schedule submits. Raises NotFound for what another version has saved."""
    try:
        return msgspec.convert(schedule.compiled, CompiledJob)
    except msgspec.ValidationError as error:
        raise NotFound("The job of this schedule was saved by another version of headrace. Save it anew.") from error


def build_submission(
    tenant_id: UUID,
    schedule: Schedule,
    compiled: CompiledJob,
    job_id: UUID,
    *,
    payload: dict[str, Any],
    model: str,
    submitted_by: Submitter,
    statements: tuple[Statement, ...],
) -> Submission:
    """Return one job of a schedule. `payload` completes the stored one, `model` is the one that it has by now; `statements` run
    in its transaction."""
    in_session = compiled.parts is not None
    goes_on = schedule.session_id if schedule.session == "continue" else None
    if compiled.benchmark is not None:
        settings = compiled.benchmark
        stored, total = msgspec.to_builtins(settings), total_steps(settings)
        row = add_benchmark(tenant_id, job_id, models=settings.models, settings=stored, total=total)
        statements = (row, *statements)
    return Submission(
        tenant_id=tenant_id,
        job_id=job_id,
        kind=KINDS[compiled.kind],
        payload={**compiled.payload, **payload},
        model=model,
        agent=compiled.agent,
        parts=compiled.parts,
        session_id=goes_on if in_session else None,
        new_session=in_session and goes_on is None,
        title=f"{schedule.name}, {datetime.now(UTC):%Y-%m-%d}" if in_session else "",
        callback=compiled.callback,
        request_id=f"schedule-{schedule.id}",
        submitted_by=submitted_by,
        extra_statements=statements,
    )
