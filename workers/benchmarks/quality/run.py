"""Judges the questions of a dataset, a few at a time. Each is a row as soon as it is judged, so an attempt that takes
over goes on behind the last one. Calls of models are stored and booked as those of other benchmarks
(`workers/benchmarks/run.py`)."""

import asyncio
from collections.abc import Callable, Iterator, Sequence

import msgspec

from graphs.routing.contract import Candidate
from schema.events import BenchmarkItem, Event, MessageCompleted
from schema.postgres.connections import tenant_tx
from schema.queries.benchmarks import datasets
from schema.queries.benchmarks.datasets import DatasetRow, JudgedItem
from schema.queries.jobs.attempts import ClaimedJob
from workers.benchmarks.context import BenchmarkContext
from workers.benchmarks.quality.agents import AgentAsker
from workers.benchmarks.quality.answers import judge_answer
from workers.benchmarks.quality.calls import QualityCalls
from workers.benchmarks.quality.items import Item
from workers.benchmarks.quality.passages import judge_passages
from workers.benchmarks.quality.routing import judge_route, list_candidates
from workers.benchmarks.quality.settings import QualitySettings
from workers.benchmarks.quality.summary import summarize_quality
from workers.benchmarks.targets import BenchmarkTarget, open_targets


async def run_quality(
    context: BenchmarkContext, job: ClaimedJob, settings: QualitySettings, emit: Callable[[Event], None]
) -> None:
    """Judge the questions of a claimed job. Raises UnknownModel, LimitReached, NotFound (a collection), Unavailable."""
    pool = context.agents.pool
    async with tenant_tx(pool, job.tenant_id) as db:
        rows = await datasets.list_items(db, job.tenant_id, settings.dataset_id, settings.version)
        judged = await datasets.list_judged(db, job.tenant_id, job.id)
    targets = await open_targets(context.agents, job, settings.models)
    await _Quality(context, job, settings, targets, emit).run(rows, judged)


class _Quality:
    def __init__(
        self,
        context: BenchmarkContext,
        job: ClaimedJob,
        settings: QualitySettings,
        targets: dict[str, BenchmarkTarget],
        emit: Callable[[Event], None],
    ) -> None:
        self._agents, self._job, self._settings, self._emit = context.agents, job, settings, emit
        self._calls = QualityCalls(context, job, settings, targets)
        self._candidates: list[Candidate] = []
        self._agent = AgentAsker(self._agents, job, settings) if settings.agent is not None else None
        self._done = self._total = 0

    async def run(self, rows: Sequence[DatasetRow], judged: Sequence[JudgedItem]) -> None:
        """Judge what is not judged yet, and add up."""
        wanted = [(row.place, item) for row in rows if self._is_judged(item := msgspec.convert(row.item, Item))]
        self._total, known = len(wanted), {one.place for one in judged}
        for one in judged:
            self._tell(one)
        await self._calls.open()
        if self._settings.measure == "routing":
            self._candidates = await list_candidates(self._agents, self._job)
        if self._agent is not None:
            await self._agent.open()
        left = iter([(place, item) for place, item in wanted if place not in known])
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self._settings.concurrency):
                    group.create_task(self._judge_each(left))
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from None
        async with tenant_tx(self._agents.pool, self._job.tenant_id) as db:
            every = await datasets.list_judged(db, self._job.tenant_id, self._job.id)
        figures = summarize_quality(self._settings.measure, every)
        text = f"{figures['correct']} of {figures['judged']} questions came out right."
        self._emit(MessageCompleted(text=text, data={"benchmark_id": str(self._job.id), "quality": figures}))

    def _is_judged(self, item: Item) -> bool:
        match self._settings.measure:
            case "routing":
                return item.agent is not None
            case "retrieval":
                return bool(item.passages)
            case "answers":
                return item.answer is not None

    async def _judge_each(self, left: Iterator[tuple[int, Item]]) -> None:
        for place, item in left:
            match self._settings.measure:
                case "routing":
                    correct, outcome = await judge_route(self._agents, self._candidates, item)
                case "retrieval":
                    correct, outcome = await judge_passages(self._agents, self._job, self._settings, item)
                case "answers":
                    correct, outcome = await judge_answer(self._calls, self._agent, self._settings, place, item)
            judged = JudgedItem(
                place=place, question=item.question, correct=correct, outcome=outcome, attempt=self._job.attempt
            )
            worker = self._job.lease_owner
            if await datasets.add_judged(self._agents.pool, self._job.tenant_id, self._job.id, judged, worker=worker):
                self._tell(judged)

    def _tell(self, one: JudgedItem) -> None:
        self._done += 1
        self._emit(
            BenchmarkItem(place=one.place, correct=one.correct, outcome=one.outcome, done=self._done, total=self._total)
        )
