"""Answers that are given again: when they are, for whom, and what is never kept."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from psycopg.types.json import Jsonb

from graphs.providers.tokens import estimate_tokens
from schema.events import AgentRouted
from schema.postgres.connections import tenant_tx
from schema.queries.agents.cached_answers import delete_answer
from tests.api.people import make_user
from tests.conftest import TestTenant, make_tenant
from tests.counterparts.behaviours import calls, says
from tests.journeys.agent_setup import add_agent, grant_tools
from tests.workers.agent_runs import AgentWorker, Asker, open_agent_worker, script
from tests.workers.jobs import change, rows

QUESTION = "What is a headrace?"
TIME = ("world_time", {"places": ["Hanoi"]})


@pytest.fixture(scope="module")
async def worker(database_url: str, redis_url: str) -> AsyncIterator[AgentWorker]:
    async with open_agent_worker(database_url, redis_url) as opened:
        yield opened


@pytest.fixture
def asker(worker: AgentWorker, database_url: str, tenant: TestTenant) -> Asker:
    add_agent(database_url, tenant, "Guide", graph="react", cache_s=600, tools=["world_time", "remember"])
    grant_tools(database_url, tenant, "world_time", "remember")
    return worker.asker(tenant)


def kept(asker: Asker) -> int:
    return len(rows(asker.url, "SELECT id FROM cached_answers WHERE tenant_id = %s", asker.tenant.id))


def settings(asker: Asker, **given: Any) -> None:
    change(asker.url, "INSERT INTO configurations (tenant_id, settings) VALUES (%s, %s)", asker.tenant.id, Jsonb(given))


async def test_the_same_question_gets_the_same_answer_without_a_model(asker: Asker) -> None:
    asked = len(asker.models.records)
    first, second = await asker.ask(QUESTION), await asker.ask("what is  a headrace")
    assert ("answer 1", "answer 1") == (first.text, second.text)
    assert (False, True) == (first.is_kept, second.is_kept)
    assert asked + 1 == len(asker.models.records)


async def test_an_answer_given_again_is_told_as_any_answer_and_costs_nothing(asker: Asker) -> None:
    await asker.ask(QUESTION)
    again = await asker.ask(QUESTION)
    expected = ["job.queued", "job.started", "agent.routed", "message.delta", "message.completed", "job.succeeded"]
    assert expected == again.kinds
    assert (
        AgentRouted(agent="Guide", graph="react", reason="A stored answer to the same question is used.")
        == again.events[2]
    )
    assert again.message is not None
    assert ("Guide", True, None) == (again.message["agent"], again.message["detail"]["cached"], again.message["usage"])
    used = rows(asker.url, "SELECT output_tokens FROM usage_records WHERE tenant_id = %s", asker.tenant.id)
    assert [estimate_tokens(len("answer 1"))] == [row["output_tokens"] for row in used]


async def test_a_question_that_means_the_same_gets_the_answer_too(asker: Asker) -> None:
    await asker.ask(QUESTION)
    assert "answer 1" == (await asker.ask("Can you tell me what a headrace is?")).text


async def test_another_number_is_another_question(asker: Asker) -> None:
    await asker.ask("What is the debt of customer 0104985841?")
    assert "answer 2" == (await asker.ask("What is the debt of customer 0104985842?")).text
    assert "answer 1" == (await asker.ask("How much does customer 0104985841 owe?")).text


async def test_other_agents_and_tenants_have_answers_of_their_own(asker: Asker) -> None:
    await asker.ask(QUESTION)
    add_agent(asker.url, asker.tenant, "Other", graph="react", cache_s=600)
    other = make_tenant(asker.url)
    add_agent(asker.url, other, "Guide", graph="react", cache_s=600)
    stranger = Asker(asker.core, asker.worker, asker.models, asker.url, other)
    assert "answer 2" == (await asker.ask(QUESTION, agent="Other")).text
    assert "answer 3" == (await stranger.ask(QUESTION)).text


async def test_an_agent_that_says_nothing_of_it_answers_anew(asker: Asker) -> None:
    add_agent(asker.url, asker.tenant, "Plain", graph="react")
    assert ["answer 1", "answer 2"] == [(await asker.ask(QUESTION, agent="Plain")).text for _ in range(2)]
    assert 0 == kept(asker)


async def test_changed_documents_make_answers_void_of_agents_that_search_them(asker: Asker) -> None:
    add_agent(asker.url, asker.tenant, "Reader", graph="react", cache_s=600, tools=["search_documents"])
    grant_tools(asker.url, asker.tenant, "search_documents")
    for agent in ("Guide", "Reader"):
        assert [False, True] == [(await asker.ask(QUESTION, agent=agent)).is_kept for _ in range(2)]
    change(asker.url, "INSERT INTO knowledge (tenant_id, version) VALUES (%s, 1)", asker.tenant.id)
    assert [True, False] == [(await asker.ask(QUESTION, agent=agent)).is_kept for agent in ("Guide", "Reader")]


async def test_a_changed_configuration_makes_old_answers_void(asker: Asker) -> None:
    await asker.ask(QUESTION)
    change(asker.url, "UPDATE agents SET prompt = 'You are another.' WHERE tenant_id = %s", asker.tenant.id)
    assert "answer 2" == (await asker.ask(QUESTION)).text


async def test_an_answer_is_given_again_until_its_time_is_over(asker: Asker) -> None:
    await asker.ask(QUESTION)
    (row,) = rows(
        asker.url,
        "SELECT expires_at - created_at = interval '600 s' AS right FROM cached_answers WHERE tenant_id = %s",
        asker.tenant.id,
    )
    assert row["right"]
    change(asker.url, "UPDATE cached_answers SET expires_at = now() WHERE tenant_id = %s", asker.tenant.id)
    assert "answer 2" == (await asker.ask(QUESTION)).text


@pytest.mark.parametrize("state", ["running", "failed", "cancelled"])
async def test_an_answer_whose_job_did_not_succeed_is_never_given_again(asker: Asker, state: str) -> None:
    first = await asker.ask(QUESTION)
    change(asker.url, "UPDATE jobs SET state = %s WHERE id = %s", state, first.job["id"])
    assert "answer 2" == (await asker.ask(QUESTION)).text


async def test_a_deleted_answer_is_never_given_again(asker: Asker) -> None:
    first = await asker.ask(QUESTION)
    change(asker.url, "DELETE FROM sessions WHERE id = %s", first.job["session_id"])
    assert "answer 2" == (await asker.ask(QUESTION)).text


async def test_a_later_question_of_a_conversation_is_answered_anew(asker: Asker) -> None:
    first = await asker.ask("Good morning")
    session_id = first.job["session_id"]
    await asker.ask(QUESTION, session_id=session_id)
    assert "answer 3" == (await asker.ask(QUESTION)).text
    assert "answer 4" == (await asker.ask(QUESTION, session_id=session_id)).text


@pytest.mark.parametrize(
    "options", [{"temperature": 1.5}, {"stop": ["x"]}, {"response_format": {"type": "json_object"}}, {"seed": 1}]
)
async def test_a_client_with_wishes_of_its_own_is_answered_anew(asker: Asker, options: dict[str, Any]) -> None:
    await asker.complete([{"role": "user", "content": QUESTION}])
    assert "answer 2" == (await asker.complete([{"role": "user", "content": QUESTION}], **options)).text
    assert "answer 1" == (await asker.complete([{"role": "user", "content": QUESTION}])).text


async def test_a_client_with_a_prompt_or_tools_of_its_own_is_answered_anew(asker: Asker) -> None:
    await asker.complete([{"role": "user", "content": QUESTION}])
    prompted = [{"role": "system", "content": "Speak as a pirate."}, {"role": "user", "content": QUESTION}]
    tool = {"type": "function", "function": {"name": "look", "description": "x", "parameters": {"type": "object"}}}
    assert "answer 2" == (await asker.complete(prompted)).text
    assert "answer 3" == (await asker.complete([{"role": "user", "content": QUESTION}], tools=[tool])).text


async def test_a_picture_and_a_named_model_are_answered_anew(asker: Asker) -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}
    seen = [{"type": "text", "text": QUESTION}, picture]
    assert "answer 1" == (await asker.ask("", parts=seen)).text
    assert "answer 2" == (await asker.ask("", parts=seen)).text
    assert "answer 3" == (await asker.ask(QUESTION, payload={"asked_model": True})).text
    assert "answer 4" == (await asker.ask(QUESTION)).text


async def test_an_answer_of_another_model_is_not_given(asker: Asker) -> None:
    await asker.ask(QUESTION)
    asker.models.script(says("another"), model="other")
    assert "another" == (await asker.ask(QUESTION, model="openai/other")).text


async def test_what_a_tool_found_for_somebody_is_theirs_alone(asker: Asker) -> None:
    ada, ben = (make_user(asker.url, asker.tenant.id) for _ in range(2))
    script(asker, calls(TIME), says("noon"), calls(TIME), says("twelve"))
    assert "noon" == (await asker.ask("What time is it in Hanoi?", user_id=ada)).text
    assert "twelve" == (await asker.ask("What time is it in Hanoi?", user_id=ben)).text
    assert ("noon", "twelve") == (
        (await asker.ask("What time is it in Hanoi?", user_id=ada)).text,
        (await asker.ask("What time is it in Hanoi?", user_id=ben)).text,
    )


async def test_what_a_tool_found_for_nobody_in_particular_is_not_kept(asker: Asker) -> None:
    script(asker, calls(TIME), says("noon"))
    await asker.ask("What time is it in Hanoi?")
    assert 0 == kept(asker)


async def test_what_changed_something_or_failed_is_not_kept(asker: Asker) -> None:
    ada = make_user(asker.url, asker.tenant.id)
    script(asker, calls(("remember", {"fact": "Likes rivers."})), says("Noted."))
    assert "Noted." == (await asker.ask("I like rivers", user_id=ada)).text
    script(asker, calls(("world_time", {"places": ["Nowhereville"]})), says("It failed."))
    assert "It failed." == (await asker.ask("What time is it in Nowhereville?", user_id=ada)).text
    assert 0 == kept(asker)


async def test_an_answer_made_with_memories_is_given_while_they_are_the_same(asker: Asker) -> None:
    ada = make_user(asker.url, asker.tenant.id)
    await asker.ask("What is my name?")  # of nobody
    script(asker, calls(("remember", {"fact": "The name of the user is Ada."})), says("Noted."))
    await asker.ask("Remember that my name is Ada", user_id=ada)
    script(asker, says("Ada."), says("I can't tell."))
    assert "Ada." == (await asker.ask("What is my name?", user_id=ada)).text
    assert (await asker.ask("What is my name?", user_id=ada)).is_kept
    assert "answer 1" == (await asker.ask("What is my name?")).text
    change(asker.url, "DELETE FROM memories WHERE user_id = %s", ada)
    assert "answer 1" == (await asker.ask("What is my name?", user_id=ada)).text


async def test_auto_keeps_as_long_as_the_tenant_and_every_agent_that_answered_allow(asker: Asker) -> None:
    settings(asker, cache_s=60)
    change(asker.url, "UPDATE agents SET cache_s = 0 WHERE tenant_id = %s", asker.tenant.id)
    guide = "Ask the Guide: where does the headrace of the mill begin?"
    change(asker.url, "UPDATE agents SET examples = %s WHERE tenant_id = %s", Jsonb([guide]), asker.tenant.id)
    assert "Guide" == (await asker.ask(guide, agent="auto")).job["result"]["agent"]
    assert 0 == kept(asker)
    assert not (await asker.ask("Tell me a joke", agent="auto")).is_kept
    assert (await asker.ask("Tell me a joke", agent="auto")).is_kept


async def test_an_answer_without_words_is_not_kept(asker: Asker) -> None:
    script(asker, says(" "))
    await asker.ask(QUESTION)
    assert 0 == kept(asker)


async def test_a_disliked_answer_goes_with_all_that_came_of_it(asker: Asker) -> None:
    first, again = await asker.ask(QUESTION), await asker.ask("Can you tell me what a headrace is?")
    exactly = await asker.ask("Can you tell me what a headrace is?")
    assert [False, True, True] == [first.is_kept, again.is_kept, exactly.is_kept]
    async with tenant_tx(asker.worker.agents.pool, asker.tenant.id) as db:
        assert 3 == await delete_answer(db, asker.tenant.id, exactly.job["id"])
    assert "answer 2" == (await asker.ask(QUESTION)).text
    assert 1 == kept(asker)


async def test_without_postgres_for_it_or_an_embedder_the_answer_is_made_anew(
    asker: Asker, monkeypatch: pytest.MonkeyPatch
) -> None:
    from graphs.embeddings.registry import OpenEmbedder
    from schema.errors import Unavailable

    async def fail(self: OpenEmbedder, texts: Any) -> Any:
        raise Unavailable("gone")

    monkeypatch.setattr(OpenEmbedder, "embed", fail)
    assert ["answer 1", "answer 2"] == [(await asker.ask(QUESTION)).text for _ in range(2)]
    assert 0 == kept(asker)
