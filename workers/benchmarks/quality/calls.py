"""The calls of a quality benchmark: each within the tenant's limits, stored and booked as soon as it has ended."""

from dataclasses import replace

from graphs.providers.contract import Message, ModelRequest
from graphs.providers.tokens import estimate_input
from schema.events.base import ModelUsage
from schema.queries.benchmarks import benchmarks
from schema.queries.jobs.attempts import ClaimedJob
from workers.benchmarks.call_budget import CallBudget
from workers.benchmarks.context import BenchmarkContext
from workers.benchmarks.measure import Measured, measure
from workers.benchmarks.plan import Step
from workers.benchmarks.quality.agents import AgentAnswer, AgentAsker
from workers.benchmarks.quality.settings import QualitySettings
from workers.benchmarks.targets import BenchmarkTarget

JUDGE_PLACES = 1_000_000
"""Where the places of a judge's calls begin: behind those of any dataset."""
MORE_PLACES = 1_000_000
"""From one model of an agent's answer to the next: their places begin behind those of a judge."""
AGENT_CALLS = 3
"""How many answers of a model an agent's is taken for, until it is known."""


class QualityCalls:
    """Calls models, and asks agents, for a claimed job. Use `open` first."""

    def __init__(
        self,
        context: BenchmarkContext,
        job: ClaimedJob,
        settings: QualitySettings,
        targets: dict[str, BenchmarkTarget],
    ) -> None:
        self._pool, self._job, self._settings, self._targets = context.agents.pool, job, settings, targets
        self._catalogs = context.agents.models.catalogs
        self._budget = CallBudget(context.limits, self._pool, job, tokens=0, nanos=0, on_wait=lambda: None)

    async def open(self) -> None:
        """Read prices, and what the tenant may still use. Raises LimitReached."""
        self._catalog = await self._catalogs.at(self._job.models_version)
        await self._budget.open()

    async def call(self, model: str, place: int, messages: tuple[Message, ...], max_tokens: int) -> Measured:
        """Call a model within the tenant's limits, and book what it used."""
        target, read = self._targets[model], estimate_input(messages)
        tokens, nanos = read + max_tokens, target.most_nanos(read, max_tokens)
        request = ModelRequest(
            model=model.partition("/")[2],
            messages=messages,
            max_tokens=max_tokens,
            temperature=self._settings.temperature,
            seed=self._settings.seed,
        )
        await self._budget.acquire(tokens, nanos)
        used_tokens, used_nanos = tokens, nanos
        try:
            measured = await measure(target.provider, request)
            used_tokens = measured.input_tokens + measured.output_tokens
            used_nanos = target.charge(measured)
        finally:
            self._budget.release(tokens, nanos, used_tokens=used_tokens, used_nanos=used_nanos)
        await self._book(measured.usage(model, own_key=target.own_key), place, place + 1, measured)
        return measured

    async def ask_agent(self, agent: AgentAsker, place: int, question: str) -> AgentAnswer:
        """Ask the agent within the tenant's limits, and book what each model used."""
        assert self._settings.model is not None, "it was resolved when this was submitted"
        target, read = self._targets[self._settings.model], estimate_input((Message.of("user", question),))
        write = AGENT_CALLS * self._settings.max_tokens
        tokens, nanos = read + write, target.most_nanos(read, write)
        await self._budget.acquire(tokens, nanos)
        used_tokens, used_nanos = tokens, nanos
        try:
            answer = await agent.ask(place, question)
            measured, used_nanos = answer.measured, 0
            used_tokens = measured.input_tokens + measured.output_tokens
            used = answer.used or [ModelUsage(model=self._settings.model, input_tokens=0, output_tokens=0)]
            for number, one in enumerate(used):
                call = replace_usage(measured, one)
                at = place if number == 0 else MORE_PLACES * (number + 1) + place
                used_nanos += await self._book(one, at, place + 1, call)
        finally:
            self._budget.release(tokens, nanos, used_tokens=used_tokens, used_nanos=used_nanos)
        return answer

    async def _book(self, used: ModelUsage, place: int, number: int, measured: Measured) -> int:
        """Store a call and book what it used; return what it cost, in nano-USD."""
        cost = self._catalog.charge(used) or 0
        call = measured.as_iteration(Step(place, used.model, number, prompt=0), self._job.attempt, cost)
        worker, own_key = self._job.lease_owner, bool(used.own_key_input_tokens or used.own_key_output_tokens)
        is_added = await benchmarks.add_iteration(
            self._pool, self._job.tenant_id, self._job.id, call, worker=worker, own_key=own_key
        )
        return cost if is_added else 0


def replace_usage(measured: Measured, used: ModelUsage) -> Measured:
    """Return a call with the tokens of one model."""
    return replace(measured, input_tokens=used.input_tokens, output_tokens=used.output_tokens)
