"""What a long conversation has said, in short: when it is made, of what, and what happens when it can't be."""

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from graphs.agents.summaries import MAX_CHARS, summarise_by_rule
from graphs.chat.history import MAX_MESSAGES, trim
from graphs.messages import stored_message
from graphs.providers.contract import Message
from schema.model_catalog.catalog import Catalog
from schema.queries.agents.agent_config import read_run_inputs
from schema.queries.jobs.attempts import ClaimedJob
from tests.conftest import TestTenant
from tests.counterparts.behaviours import Behaviour, fails, says
from tests.waiting import PATIENCE_S
from tests.workers.agent_runs import MODEL, AgentWorker, open_agent_worker
from tests.workers.jobs import change, claim, rows, turn
from workers.agents import summaries
from workers.agents.models import Models
from workers.agents.summaries import Summary, first_included, summary_for
from workers.queue.submit import submit

FIRST_DUE = 9
"""The turn whose question is the first to have six messages fallen out before it: 16 before it, 10 of them shown."""


@pytest.fixture(scope="module")
async def worker(database_url: str, redis_url: str) -> AsyncIterator[AgentWorker]:
    async with open_agent_worker(database_url, redis_url) as opened:
        yield opened


class Talk:
    """A session whose next question is `turn`: all turns before have a question and an answer."""

    def __init__(self, worker: AgentWorker, tenant: TestTenant, model: str = MODEL) -> None:
        self.worker, self.tenant, self.model, self.id = worker, tenant, model, uuid4()
        sql = "INSERT INTO sessions (tenant_id, id, title, turns) VALUES (%s, %s, '', 0)"
        change(worker.url, sql, tenant.id, self.id)
        self.turns = 0

    def reach(self, turn: int) -> None:
        """Let everything before `turn` be said."""
        for number in range(self.turns + 1, turn):
            for ordinal, role in enumerate(("user", "assistant")):
                self.say(number, ordinal, role, f"{role} {number}. And more.")
        self.turns = turn - 1
        change(self.worker.url, "UPDATE sessions SET turns = %s WHERE id = %s", self.turns, self.id)

    def say(self, number: int, ordinal: int, role: str, text: str) -> None:
        parts = Jsonb([{"type": "text", "text": text}])
        sql = """INSERT INTO messages (tenant_id, id, session_id, turn, ordinal, role, parts)
          VALUES (%s, %s, %s, %s, %s, %s, %s)"""
        change(self.worker.url, sql, self.tenant.id, uuid4(), self.id, number, ordinal, role, parts)

    async def ask(self) -> Summary:
        """Ask the next question, and return the summary that its job gets; the turn is over then."""
        job, inputs = await self.job()
        before = rows(
            self.worker.url, "SELECT role, parts FROM messages WHERE session_id = %s ORDER BY turn, ordinal", self.id
        )[:-1]
        summary = await summary_for(self.worker.worker_context.agents, job, inputs, self.models(job), messages(before))
        self.turns = job.turn or 0
        change(self.worker.url, "UPDATE jobs SET state = 'succeeded' WHERE id = %s", job.id)
        self.say(self.turns, 1, "assistant", f"assistant {self.turns}. And more.")
        return summary

    async def job(self) -> tuple[ClaimedJob, Any]:
        parts = [{"type": "text", "text": f"user {self.turns + 1}. And more."}]
        given = turn(self.tenant, self.id, agent="Guide", model=self.model, parts=parts)
        submitted = await submit(self.worker.core, given)
        job = await claim(self.worker.core, self.worker.url, submitted.job_id)
        assert job is not None
        ids: dict[str, UUID | None] = {"job_id": job.id, "session_id": self.id, "user_id": None}
        return job, await read_run_inputs(self.worker.worker_context.agents.pool, self.tenant.id, **ids)

    def models(self, job: ClaimedJob) -> Models:
        configuration: Any = _NoConfiguration()
        return Models(
            self.worker.worker_context.agents.models,
            self.tenant.id,
            configuration,
            [],
            catalog=Catalog([]),
            default=job.model,
            asked_for=False,
        )

    def stored(self) -> tuple[str | None, int | None]:
        (row,) = rows(self.worker.url, "SELECT summary, summary_turn FROM sessions WHERE id = %s", self.id)
        return row["summary"], row["summary_turn"]


class _NoConfiguration:
    def __init__(self) -> None:
        self.models: dict[str, Any] = {}

    def may_use_model(self, name: str) -> bool:
        return True


def messages(found: list[DictRow]) -> list[Message]:
    return [stored_message(row["role"], row["parts"]) for row in found]


@pytest.fixture
def talk(worker: AgentWorker, tenant: TestTenant) -> Talk:
    worker.asker(tenant)
    return Talk(worker, tenant)


def prompt_of(worker: AgentWorker) -> str:
    return worker.models.records[-1].body["messages"][-1]["content"]


async def test_a_conversation_is_summed_up_when_six_messages_have_fallen_out(talk: Talk, worker: AgentWorker) -> None:
    talk.reach(FIRST_DUE - 1)
    asked = len(worker.models.records)
    assert Summary() == await talk.ask()
    assert ("answer 1", ("answer 1", 3)) == ((await talk.ask()).text, talk.stored())
    assert asked + 1 == len(worker.models.records)


async def test_the_model_is_shown_what_fell_out_and_nothing_else(talk: Talk, worker: AgentWorker) -> None:
    talk.reach(FIRST_DUE)
    await talk.ask()
    shown = prompt_of(worker)
    assert "user: user 1. And more.\n\nassistant: assistant 1." in shown
    assert re.search(r"assistant 3\. And more\.\n</data [0-9a-f]{16}>$", shown)
    assert "user 4" not in shown
    assert 200 == worker.models.records[-1].body["max_tokens"]


async def test_a_summary_is_renewed_every_three_turns_from_the_one_before(talk: Talk, worker: AgentWorker) -> None:
    talk.reach(FIRST_DUE)
    assert ["answer 1", "answer 1", "answer 1", "answer 2"] == [(await talk.ask()).text for _ in range(4)]
    assert ("answer 2", 6) == talk.stored()
    shown = prompt_of(worker)
    assert "Summary of what came before:\nanswer 1\n\nuser: user 4" in shown
    assert "user 3" not in shown


async def test_what_a_summary_costs_is_part_of_what_the_job_used(talk: Talk) -> None:
    talk.reach(FIRST_DUE)
    spent = (await talk.ask()).initial_state()
    assert (True, 2, False) == (spent["input_tokens"] > 50, spent["output_tokens"], spent["estimated"])
    assert {} == (await talk.ask()).initial_state()


@pytest.mark.parametrize("how", [fails(400), fails(401), says("  "), Behaviour("cut-after", 2)], ids=str)
async def test_a_model_that_fails_leaves_the_old_summary_and_is_asked_again_later(
    talk: Talk, worker: AgentWorker, how: Any
) -> None:
    worker.models.answer_with(lambda _: how, model="counting")
    change(worker.url, "UPDATE sessions SET summary = 'before' WHERE id = %s", talk.id)
    talk.reach(FIRST_DUE)
    asked = len(worker.models.records)
    assert ["before"] * 3 == [(await talk.ask()).text for _ in range(3)]
    assert (asked + 1, ("before", None)) == (len(worker.models.records), talk.stored())
    worker.models.answer_with(lambda _: says("made good"), model="counting")
    assert "made good" == (await talk.ask()).text


async def test_a_model_that_is_slow_is_not_waited_for(
    talk: Talk, worker: AgentWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(summaries, "TIMEOUT_S", 0.05)
    worker.models.answer_with(lambda _: Behaviour("stall-first"), model="counting")
    talk.reach(FIRST_DUE)
    async with asyncio.timeout(PATIENCE_S):
        assert Summary() == await talk.ask()
    assert (None, None) == talk.stored()


async def test_without_a_model_the_first_sentences_of_the_user_stand_for_the_rest(
    worker: AgentWorker, tenant: TestTenant
) -> None:
    talk = Talk(worker, tenant, "offline/extractive")
    talk.reach(FIRST_DUE)
    assert Summary("- user 1.\n- user 2.\n- user 3.") == await talk.ask()
    assert ("- user 1.\n- user 2.\n- user 3.", 3) == talk.stored()


async def test_an_older_job_does_not_overwrite_a_newer_summary(talk: Talk, worker: AgentWorker) -> None:
    talk.reach(FIRST_DUE)
    job, inputs = await talk.job()
    change(worker.url, "UPDATE sessions SET summary = 'newer', summary_turn = 6 WHERE id = %s", talk.id)
    many = [Message.of("user", "x")] * 16
    await summary_for(worker.worker_context.agents, job, inputs, talk.models(job), many)
    assert ("newer", 6) == talk.stored()


async def test_the_history_and_its_summary_meet_without_a_gap() -> None:
    for roles in (["user", "assistant"] * 9, ["user"] * 17, ["user", "assistant", "assistant"] * 7, ["user"] * 3):
        said = [Message.of(role, str(n)) for n, role in enumerate(roles)]
        assert trim(said) == said[first_included(roles) :]
        assert len(said) - first_included(roles) <= MAX_MESSAGES


async def test_a_rule_keeps_the_newest_when_it_grows_long() -> None:
    said = [Message.of("user", f"{number}: {'word ' * 60}") for number in range(30)]
    text = summarise_by_rule("- the oldest", said)
    assert len(text) <= MAX_CHARS
    assert text.splitlines()[-1].startswith("- 29: word")
    assert "oldest" not in text
