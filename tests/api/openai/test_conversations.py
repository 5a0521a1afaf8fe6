"""`/v1/conversations` with the openai package, and responses that go on with them."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI

from tests.api.conftest import Running
from tests.conftest import make_tenant
from tests.counterparts.behaviours import text
from tests.waiting import wait_for

HI = {"role": "user", "content": "hi"}
WEATHER: dict[str, Any] = {
    "type": "function",
    "name": "get_weather",
    "parameters": {"type": "object", "properties": {}},
}


@pytest.fixture
async def sdk(running: Running) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=f"{running.url}/v1", api_key=running.tenant.key, max_retries=0) as opened:
        yield opened


async def said(sdk: AsyncOpenAI, conversation: str, **how: Any) -> list[Any]:
    """What the items of a conversation say, oldest first."""
    items = [item async for item in sdk.conversations.items.list(conversation, order="asc", **how)]
    return [item.content[0].text if item.type == "message" else item.type for item in items]


async def test_a_conversation_is_kept_changed_and_deleted(sdk: AsyncOpenAI) -> None:
    made = await sdk.conversations.create(items=[HI], metadata={"topic": "water"})
    assert ("conversation", {"topic": "water"}) == (made.object, made.metadata)
    assert made == await sdk.conversations.retrieve(made.id)
    assert {"topic": "fire"} == (await sdk.conversations.update(made.id, metadata={"topic": "fire"})).metadata

    answer = {
        "type": "message",
        "role": "assistant",
        "content": [{"type": "output_text", "text": "ho", "annotations": []}],
    }
    call = {"type": "function_call", "call_id": "c1", "name": "f", "arguments": '{"z": 1, "a": 2}', "id": "fc_mine"}
    output = {"type": "function_call_output", "call_id": "c1", "output": "rain"}
    added = await sdk.conversations.items.create(made.id, items=[answer, call, output])
    assert ["message", "function_call", "function_call_output"] == [item.type for item in added.data]
    again = await sdk.conversations.items.create(made.id, items=[call])
    assert "fc_mine" == again.data[0].id
    everything = ["hi", "ho", "function_call", "function_call_output"]
    assert everything == await said(sdk, made.id) == await said(sdk, made.id, limit=1)
    newest = await sdk.conversations.items.list(made.id, limit=1)
    assert (True, added.data[-1].id) == (newest.has_more, newest.data[0].id)

    kept = await sdk.conversations.items.retrieve("fc_mine", conversation_id=made.id)
    assert ('{"z": 1, "a": 2}', "completed") == (kept.arguments, kept.status)
    assert made.id == (await sdk.conversations.items.delete("fc_mine", conversation_id=made.id)).id
    assert ["hi", "ho", "function_call_output"] == await said(sdk, made.id)
    assert (await sdk.conversations.delete(made.id)).deleted
    for gone in (sdk.conversations.retrieve(made.id), sdk.conversations.items.retrieve("x", conversation_id=made.id)):
        with pytest.raises(openai.NotFoundError):
            await gone


async def test_responses_go_on_with_a_conversation_in_order(running: Running, sdk: AsyncOpenAI) -> None:
    made = await sdk.conversations.create(items=[{"role": "developer", "content": "Be brief."}])
    first = await sdk.responses.create(model="openai/text-3", input="one", conversation=made.id, instructions="Once.")
    assert made.id == first.conversation.id
    stream = await sdk.responses.create(
        model="openai/text-4", input=[{"role": "user", "content": "two"}], conversation={"id": made.id}, stream=True
    )
    assert "response.completed" == [event.type async for event in stream][-1]
    assert ["Be brief.", "one", text(3), "two", text(4)] == await said(sdk, made.id)

    await sdk.responses.create(model="openai/text-2", input="three", conversation=made.id, instructions="Now.")
    messages = running.models.records[-1].body["messages"]
    told = [(one["role"], one["content"]) for one in messages]
    assert [("system", "Now."), ("developer", "Be brief."), ("user", "one"), ("assistant", text(3))] == told[:4]
    assert [("user", "two"), ("assistant", text(4)), ("user", "three")] == told[4:]

    await sdk.responses.delete(first.id)
    assert ["Be brief.", "one", text(3), "two", text(4), "three", text(2)] == await said(sdk, made.id)


async def test_calls_and_their_outputs_are_part_of_it(running: Running, sdk: AsyncOpenAI) -> None:
    made = await sdk.conversations.create()
    asked = await sdk.responses.create(
        model="openai/tool-call", input="weather?", conversation=made.id, tools=[WEATHER]
    )
    (call,) = [item for item in asked.output if item.type == "function_call"]
    with pytest.raises(openai.BadRequestError, match="No tool output found"):
        await sdk.responses.create(model="openai/text-2", input="and?", conversation=made.id)
    output = {"type": "function_call_output", "call_id": call.call_id, "output": "rain"}
    await sdk.responses.create(model="openai/text-2", input=[output], conversation=made.id)
    assert ["user", "assistant", "tool"] == [one["role"] for one in running.models.records[-1].body["messages"]]
    assert ["weather?", "function_call", "function_call_output", text(2)] == await said(sdk, made.id)


async def test_what_fails_or_is_cancelled_adds_nothing_and_one_at_a_time(sdk: AsyncOpenAI) -> None:
    made = await sdk.conversations.create(items=[HI])
    with pytest.raises(openai.BadRequestError):
        await sdk.responses.create(model="openai/refuse-400", input="one", conversation=made.id)
    assert ["hi"] == await said(sdk, made.id)

    slow = await sdk.responses.create(model="openai/text-600-at-30", input="two", conversation=made.id, background=True)
    with pytest.raises(openai.ConflictError) as busy:
        await sdk.responses.create(model="openai/text-2", input="three", conversation=made.id)
    assert "conversation" == busy.value.param
    assert ["hi"] == await said(sdk, made.id)
    await sdk.responses.cancel(slow.id)

    async def goes_on() -> bool:
        try:
            await sdk.responses.create(model="openai/text-2", input="four", conversation=made.id)
        except openai.ConflictError:
            return False
        return True

    await wait_for(goes_on, "the conversation goes on")
    assert ["hi", "four", text(2)] == await said(sdk, made.id)

    together = [sdk.responses.create(model="openai/text-2", input="x", conversation=made.id) for _ in range(4)]
    ended = await asyncio.gather(*together, return_exceptions=True)
    answered = [one for one in ended if not isinstance(one, openai.ConflictError)]
    assert len(answered) >= 1
    assert 3 + 2 * len(answered) == len(await said(sdk, made.id))


async def test_what_is_wrong_is_refused_by_its_field(running: Running, sdk: AsyncOpenAI, database_url: str) -> None:
    made = await sdk.conversations.create()
    response = await sdk.responses.create(model="openai/text-1", input="hi")
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"conversation": made.id, "previous_response_id": response.id}, "previous_response_id"),
        ({"conversation": made.id, "store": False}, "store"),
        ({"conversation": "conv_x"}, "conversation"),
        ({"conversation": f"conv_{'0' * 32}"}, "conversation"),
    ]
    for more, param in wrong:
        with pytest.raises((openai.BadRequestError, openai.NotFoundError)) as refused:
            await sdk.responses.create(model="openai/text-1", input="hi", **more)
        assert param == refused.value.param
    items: list[tuple[dict[str, Any], str]] = [
        ({"type": "song"}, "items[0].type"),
        ({"role": "king", "content": "hi"}, "items[0].role"),
        ({"type": "function_call", "name": "f"}, "items[0]"),
        ({"role": "user", "content": [{"type": "input_audio"}]}, "items[0].content[0]"),
        ({"role": "user", "content": 7}, "items[0].content"),
        ({"role": "user", "content": [{"type": "input_file"}]}, "items[0].content[0]"),
        ({**HI, "id": "a/b"}, "items[0].id"),
        ({**HI, "id": "a b"}, "items[0].id"),
        ({**HI, "id": ".."}, "items[0].id"),
    ]
    for item, param in items:
        with pytest.raises(openai.BadRequestError) as refused:
            await sdk.conversations.items.create(made.id, items=[item])
        assert param == refused.value.param, refused.value
    stranger = sdk.with_options(api_key=make_tenant(database_url).key)
    with pytest.raises(openai.NotFoundError):
        await stranger.conversations.items.list(made.id)
    with pytest.raises(openai.NotFoundError):
        await stranger.responses.create(model="openai/text-1", input="hi", conversation=made.id)


async def test_a_reference_to_an_item_that_was_made_by_hand_stands_for_it(
    running: Running, sdk: AsyncOpenAI, database_url: str
) -> None:
    made = await sdk.conversations.create(items=[{"role": "user", "content": "The sluice opens at dawn."}])
    (kept,) = [item async for item in sdk.conversations.items.list(made.id)]
    asked: Any = [{"type": "item_reference", "id": kept.id}, {"role": "user", "content": "When?"}]

    await sdk.responses.create(model="openai/text-3", input=asked)
    told = running.models.requests[-1].body["messages"]
    assert ["The sluice opens at dawn.", "When?"] == [message["content"] for message in told]
    await sdk.responses.create(model="openai/text-3", input=asked, conversation=made.id)  # which has it already
    assert told == running.models.requests[-1].body["messages"]

    stranger = make_tenant(database_url)
    async with AsyncOpenAI(base_url=f"{running.url}/v1", api_key=stranger.key, max_retries=0) as other:
        with pytest.raises(openai.NotFoundError, match=kept.id):
            await other.responses.create(model="openai/text-3", input=asked)


async def test_the_answer_has_the_item_that_is_kept_and_not_another_of_its_id(sdk: AsyncOpenAI) -> None:
    made = await sdk.conversations.create(items=[{**HI, "id": "one"}])
    other: Any = {"role": "user", "content": "ho", "id": "one"}
    added = await sdk.conversations.items.create(made.id, items=[other, {"role": "user", "content": "new"}])
    assert ["hi", "new"] == [item.content[0].text for item in added.data]
    assert ["hi", "new"] == await said(sdk, made.id)
    twice = [{**HI, "id": "two"}, {**HI, "id": "two"}]
    with pytest.raises(openai.BadRequestError) as refused:
        await sdk.conversations.items.create(made.id, items=twice)
    assert ("items[1].id", ["hi", "new"]) == (refused.value.param, await said(sdk, made.id))


@pytest.mark.parametrize(
    ("name", "content"), [("gate.txt", b"The sluice opens at dawn."), ("dot.gif", b"GIF89a\1\0\1\0\0\0\0;")]
)
async def test_a_conversation_goes_on_when_its_file_was_deleted(
    running: Running, database_url: str, name: str, content: bytes
) -> None:
    owner = make_tenant(database_url, role="owner")
    async with AsyncOpenAI(base_url=f"{running.url}/v1", api_key=owner.key, max_retries=0) as sdk:
        file = await sdk.files.create(file=(name, content), purpose="user_data")
        part: Any = {"type": "input_file", "file_id": file.id, "filename": name}
        made = await sdk.conversations.create(items=[{"role": "user", "content": [part]}])
        await sdk.files.delete(file.id)
        await sdk.responses.create(model="openai/text-3", input="And now?", conversation=made.id)
        told = running.models.records[-1].body["messages"]
        assert f"[The attached file {name!r} was deleted.]" in str(told[0]["content"])
        assert "And now?" == told[-1]["content"]
        with pytest.raises(openai.NotFoundError) as missing:  # in a new message it is a mistake
            await sdk.responses.create(model="openai/text-3", input=[{"role": "user", "content": [part]}])
        assert "input[0].content[0].file_id" == missing.value.param


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        ({"type": "function_call_output", "call_id": "zz", "output": "rain"}, "No tool call found"),
        ({"role": "user", "content": [{"type": "input_file", "file_data": "no base64!"}]}, "must be base64"),
        ({"type": "function_call", "call_id": "zz", "name": "f"}, "No tool output found"),
    ],
)
async def test_an_item_that_stops_a_conversation_is_named_and_can_be_deleted(
    sdk: AsyncOpenAI, item: dict[str, Any], reason: str
) -> None:
    made = await sdk.conversations.create(items=[HI, {**item, "id": "mine"}])  # type: ignore[list-item]
    with pytest.raises(openai.BadRequestError, match=reason) as refused:
        await sdk.responses.create(model="openai/text-1", input="hi", conversation=made.id)
    assert "item 'mine'" in refused.value.message
    await sdk.conversations.items.delete("mine", conversation_id=made.id)
    await sdk.responses.create(model="openai/text-1", input="hi", conversation=made.id)


async def test_many_files_of_a_conversation_are_said_to_be_its_own(sdk: AsyncOpenAI) -> None:
    part = {"type": "input_file", "file_data": "aGk=", "filename": "a.txt"}
    items: Any = [{"role": "user", "content": [part]} for _ in range(21)]
    made = await sdk.conversations.create(items=items)
    with pytest.raises(openai.BadRequestError, match="Delete items") as refused:
        await sdk.responses.create(model="openai/text-1", input="hi", conversation=made.id)
    assert "conversation" == refused.value.param
