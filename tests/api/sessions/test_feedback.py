"""What people think of answers, over HTTP, and what is learned from it."""

from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.api.conftest import Running
from tests.api.conversations import Talk
from tests.api.people import bearer, make_user, signed_in
from tests.conftest import TestTenant
from tests.counterparts.behaviours import says
from tests.journeys.agent_setup import add_agent


@pytest.fixture
def talk(database_url: str, tenant: TestTenant) -> Talk:
    for name in ("Guide", "AgentDebt"):
        add_agent(database_url, tenant, name)
    return Talk(database_url, tenant)


async def rate(api: httpx.AsyncClient, message_id: str, rating: str = "up", **more: Any) -> httpx.Response:
    return await api.put(f"/api/messages/{message_id}/feedback", json={"rating": rating, **more})


def learned(talk: Talk) -> list[tuple[str, str, str | None]]:
    sql = "SELECT agent, question, answer FROM learned_examples WHERE tenant_id = %s"
    return [(row["agent"], row["question"], row["answer"]) for row in talk.rows(sql, talk.tenant.id)]


async def test_feedback_is_read_as_it_was_given_and_the_last_counts(api: httpx.AsyncClient, talk: Talk) -> None:
    _, answer = talk.turn("What is a weir?", "A low dam.", agent="Guide")
    first = await rate(api, answer, "down", comment="Too short", agent="AgentDebt")
    assert (200, "down", "Too short", "AgentDebt") == (first.status_code, *_told(first))
    second = await rate(api, answer)
    found = await api.get(f"/api/messages/{answer}/feedback")
    assert (second.json(), ("up", None, None)) == (found.json(), _told(found))
    assert first.json()["created_at"] == second.json()["created_at"] < second.json()["updated_at"]


def _told(answer: httpx.Response) -> tuple[Any, ...]:
    return tuple(answer.json()[name] for name in ("rating", "comment", "agent"))


async def test_feedback_that_was_taken_back_is_gone(api: httpx.AsyncClient, talk: Talk) -> None:
    _, answer = talk.turn("What is a weir?", "A low dam.", agent="Guide")
    path = f"/api/messages/{answer}/feedback"
    await rate(api, answer)
    assert [204, 404] == [(await api.delete(path)).status_code for _ in range(2)]
    assert (404, "This message has no feedback.") == await _refusal(api.get(path))
    assert [] == learned(talk)


async def _refusal(asked: Any) -> tuple[int, str]:
    answer = await asked
    return answer.status_code, answer.json()["detail"]


async def test_an_approved_answer_becomes_an_example_of_its_agent(api: httpx.AsyncClient, talk: Talk) -> None:
    _, answer = talk.turn("What is a weir?", "A low dam.", agent="Guide")
    await rate(api, answer)
    assert [("Guide", "What is a weir?", "A low dam.")] == learned(talk)
    await rate(api, answer, "down")
    assert [] == learned(talk)


async def test_a_corrected_agent_gets_the_question_and_not_the_answer(api: httpx.AsyncClient, talk: Talk) -> None:
    _, answer = talk.turn("What does 0104985841 owe?", "A weir is a dam.", agent="Guide")
    await rate(api, answer, "down", agent="AgentDebt")
    assert [("AgentDebt", "What does 0104985841 owe?", None)] == learned(talk)
    await rate(api, answer, "up", agent="AgentDebt")
    assert [("AgentDebt", "What does 0104985841 owe?", None)] == learned(talk)


async def test_an_answer_that_a_tool_had_a_part_in_is_no_example_for_others(api: httpx.AsyncClient, talk: Talk) -> None:
    _, answer = talk.turn("What does 0104985841 owe?", "125,750,000 VND", agent="AgentDebt", tool="get_customer_debt")
    await rate(api, answer)
    assert [("AgentDebt", "What does 0104985841 owe?", None)] == learned(talk)


async def test_an_answer_that_memories_or_nobody_knows_what_had_a_part_in_is_no_example(
    api: httpx.AsyncClient, talk: Talk, database_url: str, tenant: TestTenant
) -> None:
    ada = make_user(database_url, tenant.id)
    sql = """INSERT INTO memories (tenant_id, id, user_id, text, embedder, embedding) VALUES (%s, %s, %s, 'x', 'x', '[1]')"""
    talk.change(sql, tenant.id, uuid4(), ada)
    _, remembered = Talk(database_url, tenant, ada).turn("Who am I?", "Ada.", agent="Guide")
    _, forgotten = talk.turn("What is a weir?", "A low dam.", agent="Guide")
    talk.change("UPDATE messages SET job_id = %s WHERE id = %s", uuid4(), forgotten)
    for answer in (remembered, forgotten):
        await rate(api, answer)
    assert {("Guide", "Who am I?", None), ("Guide", "What is a weir?", None)} == set(learned(talk))


async def test_examples_stay_short(api: httpx.AsyncClient, talk: Talk) -> None:
    _, long_question = talk.turn("q" * 501, "a", agent="Guide")
    _, long_answer = talk.turn("q", "a" * 2001, agent="Guide")
    _, longest = talk.turn("Q" * 500, "A" * 2000, agent="Guide")
    for answer in (long_question, long_answer, longest):
        await rate(api, answer)
    expected = {("Guide", "q" * 500, None), ("Guide", "q", None), ("Guide", "Q" * 500, "A" * 2000)}
    assert expected == set(learned(talk))


async def test_what_no_agent_said_teaches_nothing(api: httpx.AsyncClient, talk: Talk) -> None:
    for agent in (None, "auto", "AgentGone"):
        assert 200 == (await rate(api, talk.turn("?", "!", agent=agent)[1])).status_code
    assert [] == learned(talk)


async def test_the_same_feedback_again_leaves_the_configuration_as_it_is(api: httpx.AsyncClient, talk: Talk) -> None:
    _, answer = talk.turn("What is a weir?", "A low dam.", agent="Guide")
    versions = []
    for _ in range(2):
        await rate(api, answer)
        versions += talk.rows("SELECT config_version FROM tenants WHERE id = %s", talk.tenant.id)
    assert versions[0] == versions[1]


async def test_an_agent_that_may_not_be_called_is_refused_with_those_that_may(
    api: httpx.AsyncClient, talk: Talk, database_url: str, stranger: TestTenant
) -> None:
    add_agent(database_url, stranger, "AgentSecret")
    _, answer = talk.turn("?", "!", agent="Guide")
    refused = await rate(api, answer, agent="AgentSecret")
    assert (400, "agent_unknown") == (refused.status_code, refused.json()["code"])
    assert "Agents you can use: AgentDebt, Guide." in refused.json()["detail"]
    assert 404 == (await api.get(f"/api/messages/{answer}/feedback")).status_code


async def test_a_question_can_not_be_rated(api: httpx.AsyncClient, talk: Talk) -> None:
    question, _ = talk.turn("?", "!")
    assert (400, "This message is a question. Feedback can only be given on answers.") == await _refusal(
        rate(api, question)
    )


@pytest.mark.parametrize("body", [{}, {"rating": "meh"}, {"rating": "up", "comment": "x" * 2001}])
async def test_feedback_that_says_nothing_right_is_refused(
    api: httpx.AsyncClient, talk: Talk, body: dict[str, Any]
) -> None:
    _, answer = talk.turn("?", "!")
    assert 400 == (await api.put(f"/api/messages/{answer}/feedback", json=body)).status_code


async def test_only_who_sees_a_message_can_rate_it(
    api: httpx.AsyncClient, database_url: str, tenant: TestTenant, stranger: TestTenant
) -> None:
    ada = await signed_in(api, database_url, tenant)
    talk = Talk(database_url, tenant, ada["user"]["id"])
    path = f"/api/messages/{talk.turn('?', '!')[1]}/feedback"
    fellow = await signed_in(api, database_url, tenant)
    owner = await signed_in(api, database_url, tenant, role="owner")
    for headers in (bearer(fellow["access_token"]), stranger.headers):
        for method in ("PUT", "GET", "DELETE"):
            body = {"rating": "up"} if method == "PUT" else None
            answer = await api.request(method, path, json=body, headers=headers)
            assert (404, "No such message.") == (answer.status_code, answer.json()["detail"])
    for person in (ada, owner):
        answer = await api.put(path, json={"rating": "up"}, headers=bearer(person["access_token"]))
        assert 200 == answer.status_code


async def test_a_running_system_learns_from_what_is_said_of_its_answers(running: Running, database_url: str) -> None:
    add_agent(database_url, running.tenant, "Guide", graph="react", cache_s=600, models=["openai/liked"])
    running.models.script(*(says(text) for text in ("A ditch.", "A channel.", "A low dam.")), model="liked")

    async def ask(message: str) -> tuple[str, bool, str]:
        answer = (await running.http.post("/api/chat", json={"message": message, "agent": "Guide"})).json()
        return answer["text"], answer["cached"], answer["message_id"]

    first = await ask("What is a headrace?")
    again = await ask("Can you tell me what a headrace is?")
    assert (("A ditch.", False), ("A ditch.", True)) == (first[:2], again[:2])
    assert 200 == (await rate(running.http, again[2], "down")).status_code
    better = await ask("What is a headrace?")
    assert ("A channel.", False) == better[:2]
    assert 200 == (await rate(running.http, better[2], "up")).status_code
    assert ("A low dam.", False) == (await ask("What is a weir?"))[:2]
    shown = running.models.records[-1].body["messages"][0]["content"]
    assert "Question: What is a headrace?\nAnswer: A channel." in shown
