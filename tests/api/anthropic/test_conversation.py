"""How a request's messages are read: results of tools belong to calls of the turn before them."""

from typing import Any

import msgspec
import pytest

from api.anthropic.conversation import read_conversation
from api.anthropic.schemas import CreateMessageIn
from schema.errors import InputError


def used(*ids: str) -> dict[str, Any]:
    return {"role": "assistant", "content": [{"type": "tool_use", "id": one, "name": "f", "input": {}} for one in ids]}


def results(*ids: str) -> dict[str, Any]:
    return {"role": "user", "content": [{"type": "tool_result", "tool_use_id": one, "content": "1"} for one in ids]}


def read(*messages: dict[str, Any]) -> list[dict[str, Any]]:
    body = {"model": "auto", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}, *messages]}
    return read_conversation(msgspec.json.decode(msgspec.json.encode(body), type=CreateMessageIn), native=False)


@pytest.mark.parametrize(
    ("messages", "at", "id_"),
    [
        ([results("t1")], "messages[1].content[0]", "t1"),
        ([used("t1"), results("t1", "t2")], "messages[2].content[1]", "t2"),
        ([used("t1"), results("t1"), used("t2"), results("t2"), results("t1")], "messages[5].content[0]", "t1"),
    ],
)
def test_a_result_of_a_call_that_was_not_made_is_refused_as_anthropic_does(
    messages: list[dict[str, Any]], at: str, id_: str
) -> None:
    with pytest.raises(InputError) as refused:
        read(*messages)
    assert f"{at}.tool_use_id" == refused.value.field
    assert refused.value.message.startswith(f"{at}: unexpected `tool_use_id` found in `tool_result` blocks: {id_}.")


def test_turns_in_a_row_are_one_turn() -> None:
    told = read(used("t1"), used("t2"), results("t2"), results("t1"))
    assert ["t2", "t1"] == [message["tool_call_id"] for message in told if message["role"] == "tool"]
