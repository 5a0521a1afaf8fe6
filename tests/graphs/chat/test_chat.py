"""A plain chat: what a model is shown, and the events of a run."""

import asyncio
from collections.abc import AsyncGenerator

import pytest

from graphs.chat.history import trim
from graphs.messages import read_message, read_parts
from graphs.providers.contract import (
    Delta,
    Finished,
    ImagePart,
    Message,
    ModelRequest,
    TextDelta,
    TextPart,
    ToolCallDelta,
    ToolCallPart,
    ToolResultPart,
    Usage,
)
from graphs.runner import ChatRun, read_chat, read_options, run_chat
from schema import events
from schema.errors import InputError
from schema.events import Event
from schema.queries.sessions.sessions import StoredMessage
from tests.waiting import PATIENCE_S


class Scripted:
    """A provider that streams the given deltas and records its requests."""

    name = "scripted"

    def __init__(self, *deltas: Delta, wait: asyncio.Event | None = None) -> None:
        self.deltas, self.wait, self.closed = deltas, wait, False
        self.asked: list[ModelRequest] = []

    async def stream(self, request: ModelRequest) -> AsyncGenerator[Delta, None]:
        self.asked.append(request)
        try:
            for delta in self.deltas:
                yield delta
            if self.wait:
                await self.wait.wait()
        finally:
            self.closed = True

    async def list_models(self) -> list[object]:
        return []

    async def check_key(self) -> None: ...


HELLO = ChatRun("scripted/m", [Message.of("user", "hi")], {}, whole=True)
END = Finished("stop", Usage(3, 2))


async def test_a_run_says_what_the_model_says_and_sums_it_up() -> None:
    emitted: list[Event] = []
    await run_chat(Scripted(TextDelta("good "), TextDelta("day"), END), HELLO, emitted.append)
    assert [
        events.MessageDelta(text="good "),
        events.MessageDelta(text="day"),
        events.MessageCompleted(text="good day"),
        events.UsageRecorded(model="scripted/m", input_tokens=3, output_tokens=2),
    ] == emitted


async def test_runs_at_the_same_time_do_not_mix() -> None:
    said: list[list[Event]] = [[] for _ in range(50)]
    runs = [run_chat(Scripted(TextDelta(str(n)), END), HELLO, said[n].append) for n in range(50)]
    await asyncio.gather(*runs)
    assert [events.MessageDelta(text=str(n)) for n in range(50)] == [emitted[0] for emitted in said]


async def test_cancelling_a_run_closes_the_provider() -> None:
    provider = Scripted(TextDelta("a"), wait=asyncio.Event())
    emitted: list[Event] = []
    run = asyncio.create_task(run_chat(provider, HELLO, emitted.append))
    async with asyncio.timeout(PATIENCE_S):
        while not emitted:
            await asyncio.sleep(0.001)
    run.cancel()
    await asyncio.wait({run})
    assert (True, True) == (run.cancelled(), provider.closed)


async def test_tool_calls_come_in_pieces_and_as_a_whole() -> None:
    pieces = (ToolCallDelta(0, "c1", "add", ""), ToolCallDelta(0, arguments='{"a":'), ToolCallDelta(0, arguments="1}"))
    emitted: list[Event] = []
    await run_chat(Scripted(*pieces, Finished("tool_calls", Usage(1, 1))), HELLO, emitted.append)
    completed = emitted[-2]
    assert isinstance(completed, events.MessageCompleted)
    whole = [{"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a":1}'}}]
    assert ("tool_calls", whole) == (completed.finish_reason, completed.tool_calls)


def test_the_system_and_the_last_turns_are_kept() -> None:
    conversation = [Message.of("user" if n % 2 == 0 else "assistant", str(n)) for n in range(30)]
    shown = trim([Message.of("system", "be kind"), *conversation])
    assert ["be kind", *(str(n) for n in range(20, 30))] == [message.text for message in shown]


def test_a_history_never_begins_with_an_answer() -> None:
    conversation = [Message.of("user" if n % 2 == 0 else "assistant", str(n)) for n in range(31)]
    assert "user" == trim(conversation)[0].role


def test_a_long_run_of_tools_keeps_its_question() -> None:
    call, result = Message("assistant", (ToolCallPart("c", "f", "{}"),)), Message("tool", (ToolResultPart("c", "1"),))
    conversation = [Message.of("user", "old"), Message.of("user", "question"), *[call, result] * 8]
    assert "question" == trim(conversation)[0].text


def test_openai_messages_become_ours() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA==", "detail": "low"}}
    message = read_message({"role": "user", "content": [{"type": "text", "text": "look"}, image]})
    assert Message("user", (TextPart("look"), ImagePart("data:image/png;base64,AA==", "low"))) == message
    tool = read_message({"role": "tool", "tool_call_id": "c", "content": "4"})
    assert Message("tool", (ToolResultPart("c", "4"),)) == tool


@pytest.mark.parametrize(
    "message",
    [
        {"role": "wizard", "content": "x"},
        {"role": "user", "content": 5},
        {"role": "user", "content": [{"type": "sound"}]},
        {"role": "tool", "content": "x"},
        {"role": "assistant", "tool_calls": [{"id": 1}]},
    ],
)
def test_a_message_that_cannot_be_read_names_the_field(message: dict[str, object]) -> None:
    with pytest.raises(InputError) as refused:
        read_message(message, field="messages[0]")
    assert (refused.value.field or "").startswith("messages[0]")


def test_a_picture_in_a_stored_message_reaches_the_model() -> None:
    parts = [{"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}]
    run = read_chat("m", {}, [StoredMessage(turn=1, role="user", parts=parts)])
    assert [Message("user", (ImagePart("https://example.com/a.png"),))] == run.messages
    assert () == read_parts(None)


def test_an_option_of_the_wrong_kind_is_refused() -> None:
    with pytest.raises(InputError, match="temperature"):
        read_options("m", {"temperature": "warm"})
    assert ("a",) == read_options("m", {"stop": "a"}).stop
