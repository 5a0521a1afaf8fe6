"""Schemas reach the model with the keys in the order in which an admin wrote them: it fills them in that order."""

import json
import uuid

import pytest

from tests.conftest import TestTenant, make_tenant
from tests.journeys.agent_setup import script
from tests.journeys.client import Client
from tests.system import ModelProcess

VERDICT = {
    "type": "object",
    "properties": {"deliberation": {"type": "string"}, "because": {"type": "string"}, "settled": {"type": "boolean"}},
    "required": ["deliberation", "because", "settled"],
    "additionalProperties": False,
}


@pytest.fixture
def tenant(shared_url: str) -> TestTenant:
    return make_tenant(shared_url, role="owner")


async def test_of_a_tool_and_of_an_output_in_the_order_of_the_admin(client: Client, provider: ModelProcess):
    word = uuid.uuid4().hex
    tool = {"name": "judge", "kind": "HTTP_GET", "description": "Judges.", "endpoint": "http://127.0.0.1/judge"}
    agent = {
        "name": "AgentJudge",
        "description": "Judges.",
        "prompt": "You are {agent}.",
        "models": [f"openai/{word}"],
        "tools": ["judge"],
        "output_format": "structured_json",
        "output_schema": VERDICT,
    }
    await script(provider.url, word, {"said": json.dumps({"deliberation": "a", "because": "b", "settled": True})})
    for path, body in (("tools", {**tool, "parameters": VERDICT}), ("agents", agent)):
        status, made = await client.post(f"/api/admin/{path}", body)
        assert 201 == status, made

    status, answer = await client.post("/api/chat", {"message": f"Judge {word}.", "agent": "AgentJudge"})

    assert 200 == status, answer
    (record,) = await provider.records(word)
    assert json.dumps(VERDICT) == json.dumps(record["body"]["tools"][0]["function"]["parameters"])
    sent = json.dumps([record["body"].get("response_format"), record["body"]["messages"][0]["content"]])
    assert sent.index("deliberation") < sent.index("because") < sent.index("settled")
