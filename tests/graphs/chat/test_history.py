"""What of a conversation fits into a model's window, and what is certainly too much for it."""

import json

import pytest

from graphs.chat.history import MAX_MESSAGES, for_client, trim
from graphs.messages import read_stored, stored_in_order
from graphs.providers.contract import (
    Finished,
    Message,
    ModelRequest,
    TextDelta,
    ToolCallPart,
    ToolResultPart,
    Usage,
)
from graphs.providers.errors import ContextTooLong
from graphs.providers.windows import check_window, measure
from graphs.runner import REFUSED_IMAGE, ChatRun, estimate_prompt, read_chat, run_chat
from schema import events
from schema.queries.sessions.sessions import StoredMessage
from tests.graphs.chat.test_chat import Scripted

WORDS = "water flows down the channel and turns a wheel " * 4
SYSTEM = Message.of("system", "be brief")


def turns(count: int, said: str = WORDS) -> list[Message]:
    return [Message.of("user" if n % 2 == 0 else "assistant", f"{n} {said}") for n in range(count)]


def called(count: int) -> list[Message]:
    """A question, and calls with their results."""
    steps = [Message.of("user", "the question")]
    for n in range(count):
        steps.append(Message("assistant", (ToolCallPart(f"c{n}", "look", '{"city": "Huế"}'),)))
        steps.append(Message("tool", (ToolResultPart(f"c{n}", WORDS),)))
    return steps


@pytest.mark.parametrize("window", [400, 1000, 4096, 100_000])
def test_as_many_messages_are_shown_as_half_of_the_window_holds(window: int) -> None:
    said = [SYSTEM, *turns(60), Message.of("user", "and now?")]

    shown = trim(said, window=window)

    assert (SYSTEM, said[-1]) == (shown[0], shown[-1])
    assert shown[1].role == "user"
    assert shown[1:] == said[len(said) - len(shown) + 1 :]
    assert measure(shown) <= window // 2
    if len(shown) < len(said):
        assert measure([*shown, *said[-len(shown) - 1 : -len(shown) + 1]]) > window // 2


def test_without_a_window_the_number_of_messages_decides() -> None:
    assert len(trim([SYSTEM, *turns(60)])) == 1 + MAX_MESSAGES


@pytest.mark.parametrize("window", [50, 200, 700, 1500])
def test_a_result_is_never_shown_without_its_call(window: int) -> None:
    for said in ([*turns(4), *called(6)], [*called(6), Message.of("user", "thanks")], called(6)):
        shown = trim(said, window=window)
        calls = {p.id for m in shown for p in m.parts if isinstance(p, ToolCallPart)}
        results = {p.tool_call_id for m in shown for p in m.parts if isinstance(p, ToolResultPart)}

        assert results <= calls
        assert shown[0].role == "user"


def test_the_last_question_is_shown_whatever_its_length() -> None:
    question = Message.of("user", "long " * 5000)

    assert [SYSTEM, question] == trim([SYSTEM, *turns(4), question], window=100)


def test_scripts_that_take_more_tokens_are_measured_so() -> None:
    assert measure([Message.of("user", "水車" * 500)]) >= 1000
    assert measure([Message.of("user", "công nợ " * 100)]) >= 260
    assert measure(called(1)) > measure(called(1)[:1]) + measure([Message.of("tool", WORDS)]) - 1


def test_a_clients_conversation_keeps_its_order_and_loses_its_beginning() -> None:
    late = Message.of("developer", "answer in English")
    said = [SYSTEM, *turns(40), late, Message.of("user", "and now?")]

    shown = for_client(said, 2000, None)

    assert (shown[0], shown[-2:]) == (SYSTEM, said[-2:])
    assert shown[1:] == said[len(said) - len(shown) + 1 :]
    assert 10 < len(shown) < len(said)
    assert said == for_client(said, None, None) == for_client(said, 10**6, None)
    assert len(for_client(said, 2000, 900)) < len(shown) < len(for_client(said, 2000, 10))


async def test_a_whole_conversation_is_trimmed_only_if_the_client_says_so() -> None:
    messages = [{"role": m.role, "content": m.text} for m in turns(40)] + [{"role": "user", "content": "and now?"}]
    for truncation, expected in (({"truncation": "auto"}, True), ({"truncation": "disabled"}, False), ({}, False)):
        provider = Scripted(TextDelta("yes"), Finished("stop", Usage(1, 1)))
        run = read_chat("scripted/m", {"messages": messages, **truncation}, [])
        await run_chat(provider, run, lambda event: None, window=2500)

        assert expected == (len(provider.asked[0].messages) < 41)


async def test_what_cannot_fit_is_not_sent() -> None:
    provider = Scripted(TextDelta("yes"), Finished("stop", Usage(1, 1)))
    run = ChatRun("scripted/m", [Message.of("user", "a" * 8_001)], {}, whole=True)

    with pytest.raises(ContextTooLong, match="1,000 tokens") as caught:
        await run_chat(provider, run, lambda event: None, window=1000)

    assert ("context_length_exceeded", False) == (caught.value.code, caught.value.retryable)
    assert [] == provider.asked
    await run_chat(provider, run, lambda event: None, window=1001)
    await run_chat(provider, run, lambda event: None)
    assert len(provider.asked) == 2


def test_calls_and_tools_count_too() -> None:
    tool = {"type": "function", "function": {"name": "look", "description": "a" * 900}}
    call = Message("assistant", (ToolCallPart("c", "look", "a" * 900),))
    for request in (
        ModelRequest(model="m", messages=(), tools=(tool,)),
        ModelRequest(model="m", messages=(call,)),
    ):
        check_window("it", request, 200)
        with pytest.raises(ContextTooLong):
            check_window("it", request, 100)


async def test_a_call_that_is_written_as_the_answer_of_a_plain_chat_is_read() -> None:
    tools = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]
    provider = Scripted(TextDelta('{"name": "look", "arguments": {}}'), Finished("stop", Usage(1, 1)))
    said: list[events.Event] = []
    await run_chat(provider, ChatRun("s/m", [Message.of("user", "hi")], {"tools": tools}, whole=True), said.append)

    [completed] = [event for event in said if isinstance(event, events.MessageCompleted)]
    assert ("tool_calls", "") == (completed.finish_reason, completed.text)
    assert [call["function"]["name"] for call in completed.tool_calls or ()] == ["look"]


def test_a_reservation_is_of_all_messages_that_a_model_may_be_shown() -> None:
    stored = [
        StoredMessage(turn, role, [{"type": "text", "text": "x" * 400}])
        for turn in range(12)
        for role in ("user", "assistant")
    ]
    assert 24 * 104 == estimate_prompt({}, stored, window=None, at_most=True)
    assert 24 * 104 == estimate_prompt({}, stored, window=100_000, at_most=True)
    assert 10 * 104 == estimate_prompt({}, stored, window=None)
    assert 2 * 104 == estimate_prompt({}, stored, window=400, at_most=True)


@pytest.mark.parametrize("refused", [True, False])
def test_an_image_that_a_provider_failed_at_is_not_sent_again(refused: bool) -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}
    stored = [
        StoredMessage(1, "user", [{"type": "text", "text": "see"}, image], images_refused=refused),
        StoredMessage(2, "user", [{"type": "text", "text": "well?"}]),
    ]
    first, last = read_chat("m", {}, stored).messages
    assert "well?" == last.text
    assert refused == (REFUSED_IMAGE in first.text)
    assert "see" in first.text


def test_a_payload_keeps_the_form_that_workers_of_the_version_before_read() -> None:
    plain, own = {"role": "user", "content": "x"}, {"role": "user", "content": "x", "x_format": {"b": 1, "a": 2}}
    assert {"messages": [plain]} == stored_in_order([plain])
    payload = stored_in_order([plain, own])
    assert [plain, own] == payload["messages"]
    sorted_by_jsonb = payload | {"messages": [plain, own | {"x_format": {"a": 2, "b": 1}}]}
    read = read_stored(sorted_by_jsonb)
    assert read is not None
    assert ["b", "a"] == list(read[1]["x_format"])
    assert [own] == read_stored({"messages": json.dumps([own])})  # as it was stored before
    assert read_stored({}) is None
