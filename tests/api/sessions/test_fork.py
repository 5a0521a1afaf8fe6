"""Going on from an earlier message, over HTTP."""

from typing import Any

import httpx
import pytest

from tests.api.conversations import Talk
from tests.api.people import bearer, make_user, signed_in
from tests.conftest import TestTenant


@pytest.fixture
def talk(database_url: str, tenant: TestTenant) -> Talk:
    return Talk(database_url, tenant)


async def fork(api: httpx.AsyncClient, talk: Talk, **body: Any) -> httpx.Response:
    return await api.post(f"/api/sessions/{talk.id}/fork", json=body)


async def said(api: httpx.AsyncClient, session_id: str) -> list[dict[str, Any]]:
    return (await api.get(f"/api/sessions/{session_id}/messages")).json()["items"]


async def test_a_fork_holds_everything_up_to_and_with_the_message(api: httpx.AsyncClient, talk: Talk) -> None:
    talk.turn("one?", "one.", agent="Guide")
    _, second = talk.turn("two?", "two.", agent="Guide")
    talk.turn("three?", "three.")
    answer = await fork(api, talk, message_id=second)
    assert (201, "Rivers", 2) == (answer.status_code, answer.json()["title"], answer.json()["turns"])
    old, new = await said(api, str(talk.id)), await said(api, answer.json()["id"])
    assert ["one?", "one.", "two?", "two."] == [message["parts"][0]["text"] for message in new]
    same = ("role", "parts", "agent", "job_id", "created_at")
    assert [[m[key] for key in same] for m in old[:4]] == [[m[key] for key in same] for m in new]
    assert set() == {message["id"] for message in old} & {message["id"] for message in new}
    assert sorted(m["id"] for m in new) == [m["id"] for m in new], "ids sort as the messages do"


async def test_the_old_session_stays_as_it_was_when_the_fork_goes(api: httpx.AsyncClient, talk: Talk) -> None:
    _, first = talk.turn("one?", "one.")
    before = await said(api, str(talk.id))
    copy = (await fork(api, talk, message_id=first)).json()["id"]
    assert 204 == (await api.delete(f"/api/sessions/{copy}")).status_code
    assert before == await said(api, str(talk.id))


async def test_a_fork_goes_on_with_the_turn_after_its_last(api: httpx.AsyncClient, talk: Talk) -> None:
    question, _ = talk.turn("one?", "one.")
    copy = (await fork(api, talk, message_id=question)).json()["id"]
    job = await api.post(
        "/api/chat", json={"message": "again", "session_id": copy}, headers={"Prefer": "respond-async"}
    )
    assert 202 == job.status_code
    turns = talk.rows("SELECT turn, ordinal FROM messages WHERE session_id = %s ORDER BY 1, 2", copy)
    assert [(1, 0), (2, 0)] == [(row["turn"], row["ordinal"]) for row in turns]


async def test_without_a_message_all_of_it_is_copied_and_a_title_is_taken(api: httpx.AsyncClient, talk: Talk) -> None:
    talk.turn("one?", "one.")
    answer = await fork(api, talk, title="Another way")
    assert ("Another way", 2) == (answer.json()["title"], len(await said(api, answer.json()["id"])))
    assert answer.json() == (await api.get(answer.headers["location"])).json()


async def test_an_empty_session_can_be_forked_without_a_body(api: httpx.AsyncClient, talk: Talk) -> None:
    answer = await api.post(f"/api/sessions/{talk.id}/fork")
    assert (201, 0) == (answer.status_code, answer.json()["turns"])


@pytest.mark.parametrize(("at", "summary"), [(1, None), (2, "so far"), (3, "so far")])
async def test_the_summary_goes_along_if_it_tells_of_nothing_later(
    api: httpx.AsyncClient, talk: Talk, at: int, summary: str | None
) -> None:
    answers = [talk.turn("?", "!")[1] for _ in range(3)]
    talk.change("UPDATE sessions SET summary = 'so far', summary_turn = 2 WHERE id = %s", talk.id)
    copy = (await fork(api, talk, message_id=answers[at - 1])).json()["id"]
    (row,) = talk.rows("SELECT summary, summary_turn FROM sessions WHERE id = %s", copy)
    assert (summary, summary and 2) == (row["summary"], row["summary_turn"])


async def test_the_summary_stays_behind_if_it_knows_the_answer_that_was_cut_off(
    api: httpx.AsyncClient, talk: Talk
) -> None:
    talk.turn("?", "!")
    question, _ = talk.turn("?", "!")
    talk.change("UPDATE sessions SET summary = 'so far', summary_turn = 2 WHERE id = %s", talk.id)
    copy = (await fork(api, talk, message_id=question)).json()["id"]
    assert [{"summary": None}] == talk.rows("SELECT summary FROM sessions WHERE id = %s", copy)


async def test_a_message_of_another_session_is_not_found(
    api: httpx.AsyncClient, talk: Talk, database_url: str, tenant: TestTenant
) -> None:
    _, elsewhere = Talk(database_url, tenant).turn("?", "!")
    answer = await fork(api, talk, message_id=elsewhere)
    assert (404, "No such message in this session.") == (answer.status_code, answer.json()["detail"])


async def test_only_who_sees_a_session_can_fork_it_and_the_fork_is_theirs(
    api: httpx.AsyncClient, database_url: str, tenant: TestTenant, stranger: TestTenant
) -> None:
    talk = Talk(database_url, tenant, make_user(database_url, tenant.id))
    _, message_id = talk.turn("?", "!")
    fellow, owner = [await signed_in(api, database_url, tenant, role=role) for role in ("member", "owner")]
    path, body = f"/api/sessions/{talk.id}/fork", {"message_id": message_id}
    for headers in (bearer(fellow["access_token"]), stranger.headers):
        answer = await api.post(path, json=body, headers=headers)
        assert (404, "No such session.") == (answer.status_code, answer.json()["detail"])
    answer = await api.post(path, json=body, headers=bearer(owner["access_token"]))
    (row,) = talk.rows("SELECT user_id::text FROM sessions WHERE id = %s", answer.json()["id"])
    assert (201, owner["user"]["id"]) == (answer.status_code, row["user_id"])
