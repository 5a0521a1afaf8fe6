"""Prompts of chat front ends, in the words of their own templates, and what only looks like one."""

from typing import Any

import pytest

from api.openai.front_end_prompts import is_front_end_prompt
from tests.api.conftest import Running
from tests.conftest import make_tenant
from tests.journeys.agent_setup import add_agent

HISTORY = "### Chat History:\n<chat_history>\nUSER: What is a headrace?\nASSISTANT: A channel.\n</chat_history>"
PROMPTS = {
    "open_webui_title": "### Task:\nGenerate a concise, 3-5 word title with an emoji summarizing the chat history.\n"
    "### Guidelines:\n- The title should clearly represent the main theme or subject of the conversation.\n"
    '### Output:\nJSON format: { "title": "your concise title here" }\n' + HISTORY,
    "open_webui_tags": "### Task:\nGenerate 1-3 broad tags categorizing the main themes of the chat history, along with 1-3 "
    "more specific subtopic tags.\n\n### Guidelines:\n- Prioritize accuracy over specificity\n\n" + HISTORY,
    "open_webui_follow_ups": "### Task:\nSuggest 3-5 relevant follow-up questions or prompts that the user might naturally "
    "ask next in this conversation as a **user**, based on the chat history, to help continue or deepen the discussion.\n"
    + HISTORY,
    "open_webui_next_messages": "### Task:\nPredict 3-5 useful messages this user might naturally send next to advance their "
    "current objective.\n### Guidelines:\n- Write from the user's point of view, directed to the assistant.\n"
    + HISTORY,
    "open_webui_compaction": "### Task:\nSummarize the conversation history that will be compacted out of the active chat "
    "context.\n\n### Messages Being Compacted:\nhi\n\n### Recent Messages Kept In Context:\nhello",
    "open_webui_queries": "### Task:\nAnalyze the chat history to determine the necessity of generating search queries, in the "
    "given language. By default, **prioritize generating 1-3 broad and relevant search queries**.\n" + HISTORY,
    "open_webui_autocompletion": "### Task:\nYou are an autocompletion system. Continue the text in `<text>` based on the "
    "**completion type** in `<type>` and the given language.\n<type>General</type>\n<text>What is</text>\n#### Output:",
    "open_webui_emoji": "\nYour task is to reflect the speaker's likely facial expression through a fitting emoji. Interpret "
    "emotions from the message.\n\nMessage: ```hi```",
    "librechat_completion": "Provide a concise, 5-word-or-less title for the conversation, using its same language, with no "
    "punctuation. Apply title case conventions appropriate for the language.\n\nConversation:\nUser: hi\nAI: hello",
    "librechat_structured": "Analyze this conversation and provide:\n1. The detected language of the conversation\n2. A "
    "concise title in the detected language (5 words or less, no punctuation or quotation)\n\nUser: hi",
    "chatbox": "Name the conversation based on the chat records.\nPlease provide a concise name, within 10 characters and "
    "without quotation marks.\nYou only need to answer with the name.\nThe following is the conversation:\n\n```\nhi\n```",
}
LOBE = [
    {
        "role": "system",
        "content": "You are a professional conversation summarizer. Generate a concise title that captures the essence of the "
        'conversation.\n\nRules:\n- Return one JSON object with a single "title" string matching the supplied schema',
    },
    {"role": "user", "content": "<task>\nGenerate a concise title.\n</task>\n\n<conversation>\n<user>\nhi\n</user>"},
]
OTHERS = {
    "open_webui_question_about_documents": "### Task:\nRespond to the user query using the provided context, incorporating "
    "inline citations.\n<context>\n…\n</context>\n<user_query>\nWhat is a headrace?\n</user_query>",
    "a_question_about_titles": "Generate a concise, 3-5 word title for my book about mills, please.",
    "a_question_behind_a_template": PROMPTS["open_webui_title"] + "\nAnd what do we owe the Hansa line?",
    "a_question_behind_a_completion": PROMPTS["open_webui_autocompletion"] + " What do we owe the Hansa line?",
    "a_quotation": "What does this prompt do?\n" + PROMPTS["open_webui_title"],
}


def user(text: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": text}]


@pytest.mark.parametrize("prompt", PROMPTS.values(), ids=PROMPTS)
def test_a_front_ends_prompt_is_recognized(prompt: str) -> None:
    assert is_front_end_prompt(user(prompt))
    assert is_front_end_prompt([{"role": "system", "content": "You are helpful."}, *user(prompt)])
    assert is_front_end_prompt([{"role": "user", "content": [{"type": "text", "text": prompt}]}])
    assert is_front_end_prompt(user(prompt.replace("\n", "\r\n")))
    assert not is_front_end_prompt([*user(prompt), *user("And what do we owe?")])


def test_a_template_in_the_system_message_is_recognized() -> None:
    assert is_front_end_prompt(LOBE)


@pytest.mark.parametrize("prompt", OTHERS.values(), ids=OTHERS)
def test_what_people_ask_is_not_taken_for_one(prompt: str) -> None:
    assert not is_front_end_prompt(user(prompt))
    assert not is_front_end_prompt([*user("hi"), {"role": "assistant", "content": "hello"}, *user(PROMPTS["chatbox"])])


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/responses"])
async def test_the_model_alone_answers_a_front_ends_prompt(running: Running, database_url: str, path: str) -> None:
    tenant = make_tenant(database_url)
    add_agent(database_url, tenant, "Clerk")
    agents = []
    for said in (PROMPTS["open_webui_title"], "What is a headrace?"):
        body: dict[str, Any] = {"messages": user(said)} if "chat" in path else {"input": said}
        answer = await running.http.post(path, json={"model": "agent/Clerk", **body}, headers=tenant.headers)
        assert 200 == answer.status_code, answer.text
        job = await running.http.get(f"/api/jobs/{answer.headers['x-job-id']}", headers=tenant.headers)
        agents.append(job.json()["agent"])
    assert [None, "Clerk"] == agents


async def test_a_key_says_who_answers_a_front_ends_prompt(running: Running, database_url: str) -> None:
    owner, http = make_tenant(database_url, role="owner"), running.http
    add_agent(database_url, owner, "Clerk")
    asked = {"name": "a front end", "front_end_prompts": "agent"}
    made = await http.post("/api/auth/keys", json=asked, headers=owner.headers)
    path, key = f"/api/auth/keys/{made.json()['id']}", {"Authorization": f"Bearer {made.json()['key']}"}
    agents = []
    for setting in ("agent", "plain", "offline/extractive", None):
        changed = await http.patch(path, json={"front_end_prompts": setting}, headers=owner.headers)
        assert (200, setting) == (changed.status_code, changed.json()["front_end_prompts"])
        body = {"model": "agent/Clerk", "messages": user(PROMPTS["open_webui_title"])}
        answer = await http.post("/v1/chat/completions", json=body, headers=key)
        assert 200 == answer.status_code, answer.text
        job = await http.get(f"/api/jobs/{answer.headers['x-job-id']}", headers=key)
        agents.append(job.json()["agent"])
    listed = (await http.get("/api/auth/keys", headers=owner.headers)).json()["items"]

    assert ["Clerk", None, None, None] == agents
    assert [None, None] == [item["front_end_prompts"] for item in listed]
    for wrong in ("", "nowhere/model", "agent/Clerk", "auto", "Auto", 5):
        for method, where in (("POST", "/api/auth/keys"), ("PATCH", path)):
            body = {"front_end_prompts": wrong} | ({"name": "k"} if method == "POST" else {})
            refused = await http.request(method, where, json=body, headers=owner.headers)
            assert 400 == refused.status_code, wrong
            assert "front_end_prompts" in refused.json()["detail"], wrong
