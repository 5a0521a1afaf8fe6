"""Runs a benchmark job (a `workers.queue.attempts.Work`): warms up, measures what has not been measured yet, adds up.

Each call is a row as soon as it has ended, so an attempt that takes over goes on behind the last one: no finished iteration is
lost, and none is measured twice.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec
import structlog

from graphs.providers.contract import Message, ModelRequest
from graphs.providers.tokens import estimate_input
from schema.errors import HeadraceError, NotFound
from schema.events import BenchmarkIteration, Event, JobProgress, MessageCompleted, Reason
from schema.postgres.connections import tenant_tx
from schema.queries.benchmarks import benchmarks as queries
from schema.queries.benchmarks.benchmarks import Iteration
from schema.queries.jobs.attempts import ClaimedJob
from schema.queries.sessions.sessions import StoredMessage
from workers.benchmarks.call_budget import CallBudget
from workers.benchmarks.context import BenchmarkContext
from workers.benchmarks.measure import measure
from workers.benchmarks.plan import BenchmarkSettings, Step, measured_steps, total_steps, warmup_steps
from workers.benchmarks.quality.run import run_quality
from workers.benchmarks.quality.settings import QualitySettings
from workers.benchmarks.statistics import NANOS, compare_models, summarize
from workers.benchmarks.targets import BenchmarkTarget, open_targets

log = structlog.get_logger()

GIVE_UP = 5
"""After so many failures in a row that another call would meet again (a key that is refused), a model is not called any
more."""
STORE_TIMEOUT_S = 2.0
DELETED = "This benchmark was deleted."
RESERVED_OUTPUT_TOKENS = 1024


async def run_benchmark(
    context: BenchmarkContext, job: ClaimedJob, messages: Sequence[StoredMessage], emit: Callable[[Event], None]
) -> None:
    """Measure the models of a claimed job.

    Raises UnknownModel, NotFound, LimitReached (a budget is used up), Unavailable. What was measured stays in any case.
    """
    pool = context.agents.pool
    async with tenant_tx(pool, job.tenant_id) as db:
        row = await queries.find_benchmark(db, job.tenant_id, job.id)
        places = await queries.list_places(db, job.tenant_id, job.id)
    if row is None:
        raise NotFound(DELETED)
    if quality := row.settings.get("quality"):
        await run_quality(context, job, msgspec.convert(quality, QualitySettings), emit)
        return
    settings = msgspec.convert(row.settings, BenchmarkSettings)
    targets = await open_targets(context.agents, job, settings.models)
    await _Benchmark(context, job, settings, targets, places, emit).run()


class _Benchmark:
    def __init__(
        self,
        context: BenchmarkContext,
        job: ClaimedJob,
        settings: BenchmarkSettings,
        targets: dict[str, BenchmarkTarget],
        places: set[int],
        emit: Callable[[Event], None],
    ) -> None:
        self._pool, self._job, self._emit = context.agents.pool, job, emit
        self._settings, self._targets, self._places = settings, targets, places
        self._total = total_steps(settings)
        self._done = sum(place >= 0 for place in places)
        self._failed_in_a_row: Counter[str] = Counter()
        self._said_waiting = False
        tokens, nanos = self._estimate(Step(0, settings.models[0], 1, 0))
        is_first = job.is_first and "reserved" in job.payload
        self._budget = CallBudget(
            context.limits,
            self._pool,
            job,
            tokens=min(tokens, int(job.payload["reserved"])) if is_first else 0,
            nanos=nanos if is_first else 0,
            on_wait=self._say_waiting,
        )

    async def run(self) -> None:
        await self._repeat_events()
        await self._budget.open()
        try:
            await self._call_all(iter(warmup_steps(self._settings)), 1)
            await self._call_all(measured_steps(self._settings), self._settings.concurrency)
        except ExceptionGroup as failed:
            await self._try_to_store_results()
            raise failed.exceptions[0] from None
        except asyncio.CancelledError:
            await asyncio.shield(self._try_to_store_results())
            raise
        figures, compared = await self._store_results()
        data = {"benchmark_id": str(self._job.id), "results": figures, "comparison": compared}
        self._emit(MessageCompleted(text=describe(figures), data=data))

    async def _call_all(self, steps: Iterator[Step], concurrency: int) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(concurrency):
                group.create_task(self._call_each(steps))

    async def _call_each(self, steps: Iterator[Step]) -> None:
        """Take steps from those that all lanes share, until none is left."""
        for step in steps:
            if step.place not in self._places and self._failed_in_a_row[step.model] < GIVE_UP:
                await self._call(step)

    async def _call(self, step: Step) -> None:
        target = self._targets[step.model]
        tokens, nanos = self._estimate(step)
        await self._budget.acquire(tokens, nanos)
        used_tokens, used_nanos = tokens, nanos  # of a call that is cancelled, nobody knows what it used
        try:
            measured = await measure(target.provider, self._request(step), self._report_pull)
            used_tokens = measured.input_tokens + measured.output_tokens
            used_nanos = target.charge(measured)
        finally:
            self._budget.release(tokens, nanos, used_tokens=used_tokens, used_nanos=used_nanos)
        self._failed_in_a_row[step.model] = self._failed_in_a_row[step.model] + 1 if measured.permanent else 0
        iteration = measured.as_iteration(step, self._job.attempt, used_nanos)
        worker = self._job.lease_owner
        is_added = await queries.add_iteration(
            self._pool, self._job.tenant_id, self._job.id, iteration, worker=worker, own_key=target.own_key
        )
        if is_added and step.place >= 0:
            self._done += 1
            self._tell(iteration, self._done)

    def _request(self, step: Step) -> ModelRequest:
        settings = self._settings
        return ModelRequest(
            model=step.model.partition("/")[2],
            messages=(Message.of("user", settings.prompts[step.prompt]),),
            temperature=settings.temperature,
            max_tokens=settings.max_tokens,
            seed=settings.seed,
        )

    def _estimate(self, step: Step) -> tuple[int, int]:
        """Return the tokens that a call may use, and what they cost."""
        read = estimate_input((Message.of("user", self._settings.prompts[step.prompt]),))
        write = self._settings.max_tokens or RESERVED_OUTPUT_TOKENS
        return read + write, self._targets[step.model].most_nanos(read, write)

    async def _repeat_events(self) -> None:
        """Send again what earlier attempts measured: readers may have been told to discard it."""
        if not self._done:
            return
        async with tenant_tx(self._pool, self._job.tenant_id) as db:
            rows = await queries.list_iterations(db, self._job.tenant_id, self._job.id)
        for done, row in enumerate(rows, 1):
            self._tell(row, done)

    def _tell(self, row: Iteration, done: int) -> None:
        self._emit(
            BenchmarkIteration(
                model=row.model,
                place=row.place,
                number=row.number,
                total_ms=round(row.total_ms, 3),
                first_token_ms=_rounded(row.first_token_ms),
                tokens_per_second=_rounded(row.tokens_per_second),
                input_tokens=row.input_tokens,
                output_tokens=row.output_tokens,
                cost_usd=row.cost_nanos / NANOS,
                error=msgspec.convert(row.error, Reason) if row.error else None,
                done=done,
                total=self._total,
            )
        )

    def _report_pull(self, text: str, done: int, total: int) -> None:
        self._emit(JobProgress(text=text, done=done or None, total=total or None))

    def _say_waiting(self) -> None:
        if not self._said_waiting:
            self._said_waiting = True
            self._emit(JobProgress(text="The benchmark waits for the tenant's limit of tokens per minute."))

    async def _store_results(self) -> tuple[dict[str, dict[str, Any]], list[dict[str, Any]]]:
        """Store what the iterations add up to so far, and return it."""
        tenant_id, job_id = self._job.tenant_id, self._job.id
        async with tenant_tx(self._pool, tenant_id) as db:
            rows = await queries.list_iterations(db, tenant_id, job_id)
        figures = await asyncio.to_thread(summarize, rows)
        compared = await asyncio.to_thread(compare_models, rows, self._settings.models)
        async with tenant_tx(self._pool, tenant_id) as db:
            await queries.set_results(db, tenant_id, job_id, figures)
        return figures, compared

    async def _try_to_store_results(self) -> None:
        """Store them for a benchmark that is stopped; if this fails, they are added up whenever they are read."""
        try:
            async with asyncio.timeout(STORE_TIMEOUT_S):
                await self._store_results()
        except (HeadraceError, TimeoutError):
            log.warning("benchmark_results_not_stored", job_id=str(self._job.id))


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def describe(figures: dict[str, dict[str, Any]]) -> str:
    """Return the results as a sentence for each model."""
    lines: list[str] = []
    for model, found in figures.items():
        line = f"{model}: {found['succeeded']} of {found['iterations']} calls answered"
        if total := found["total_ms"]:
            line += f" in {total['mean'] / 1000:.2f} s on average"
        if first := found["first_token_ms"]:
            line += f", first token after {first['p50']:.0f} ms"
        if speed := found["tokens_per_second"]:
            line += f", {speed['p50']:.1f} tokens per second"
        if found["errors"]:
            line += f"; failed: {', '.join(f'{code} {count}×' for code, count in found['errors'].items())}"
        lines.append(f"{line}.")
    return "\n".join(lines) or "Nothing was measured."
