"""What servers of OpenAI's protocol send in odd pieces: calls, contents, whole messages, ends. Over real sockets."""

import json
from collections.abc import AsyncGenerator
from typing import Any

import aiohttp
import pytest

from graphs.providers.errors import ContextTooLong, ProviderOverloaded, ProviderQuotaExhausted, ProviderRefused
from tests.conformance.dialects import OpenAIDialect
from tests.conformance.test_oddities import Talk, calls_of, ending_of, text_of, thought_of
from tests.counterparts.raw_server import RawServer
from tests.graphs.model_requests import PATIENT

WIRE = OpenAIDialect()
HANOI, HUE = '{"city": "Hà Nội"}', '{"city": "Huế"}'
END, DONE = WIRE.end("tool_calls"), b"data: [DONE]\n\n"


@pytest.fixture
async def talk() -> AsyncGenerator[Talk, None]:
    async with RawServer() as server, aiohttp.ClientSession() as session:
        yield Talk(WIRE, server, WIRE.provider(session, server.url, PATIENT))


def piece(index: Any = 0, call_id: Any = None, name: Any = None, arguments: Any = None, **more: Any) -> bytes:
    """A piece of a call; what is None is left out."""
    function = {key: value for key, value in (("name", name), ("arguments", arguments)) if value is not None}
    call = {"index": index, "id": call_id, "function": function, **more}
    return WIRE.delta({"tool_calls": [{key: value for key, value in call.items() if value is not None}]})


def named_calls(deltas: list) -> list[tuple[str, str]]:
    """Return (name, city) of each call; all must have an id of their own."""
    calls = calls_of(deltas)
    assert len({call_id for call_id, _, _ in calls} - {""}) == len(calls)
    return [(name, arguments["city"]) for _, name, arguments in calls]


TWO_CALLS: dict[str, list[bytes]] = {
    "as documented": [
        *(piece(0, "a", "look", ""), piece(0, arguments=HANOI[:9]), piece(0, arguments=HANOI[9:])),
        *(piece(1, "b", "look", ""), piece(1, arguments=HUE[:9]), piece(1, arguments=HUE[9:])),
    ],
    "pieces of two calls in turns": [
        *(piece(0, "a", "look", ""), piece(1, "b", "look", "")),
        *(piece(0, arguments=HANOI[:9]), piece(1, arguments=HUE[:9])),
        *(piece(0, arguments=HANOI[9:]), piece(1, arguments=HUE[9:])),
    ],
    "one number for all, ids differ": [piece(0, "a", "look", HANOI), piece(0, "b", "look", HUE)],
    "one number for all, in pieces": [
        *(piece(0, "a", "look", ""), piece(0, "a", arguments=HANOI[:9]), piece(0, arguments=HANOI[9:])),
        *(piece(0, "b", "look", HUE[:9]), piece(0, arguments=HUE[9:])),
    ],
    "one number for all, no ids": [piece(0, "", "look", HANOI), piece(0, "", "look", HUE)],
    "no numbers": [piece(None, "a", "look", HANOI), piece(None, "b", "look", HUE)],
    "no numbers, in pieces": [
        *(piece(None, "a", "look", HANOI[:9]), piece(None, None, None, HANOI[9:])),
        *(piece(None, "b", "look", HUE[:9]), piece(None, "b", None, HUE[9:])),
    ],
    "neither numbers nor ids": [piece(None, None, "look", HANOI), piece(None, None, "look", HUE)],
    "numbers as text": [piece("0", "a", "look", HANOI), piece("1", "b", "look", HUE)],
    "numbers from 1": [piece(1, "a", "look", HANOI), piece(2, "b", "look", HUE)],
    "the same id twice": [piece(0, "call", "look", HANOI), piece(1, "call", "look", HUE)],
    "the name again in each piece": [
        *(piece(0, "a", "look", HANOI[:9]), piece(0, "a", "look", HANOI[9:])),
        *(piece(1, "b", "look", HUE[:9]), piece(1, "b", "look", HUE[9:])),
    ],
    "the name again, without ids": [
        *(piece(0, None, "look", HANOI[:9]), piece(0, None, "look", HANOI[9:]), piece(0, None, "look", "")),
        *(piece(1, None, "look", HUE[:9]), piece(1, None, "look", HUE[9:])),
    ],
    "a new id in each piece": [
        *(piece(0, "a1", "look", ""), piece(0, "a2", None, HANOI[:9]), piece(0, "a3", "look", HANOI[9:])),
        *(piece(1, "b1", "look", ""), piece(1, "b2", None, HUE[:9]), piece(1, "b3", None, HUE[9:])),
    ],
    "the name in parts": [
        *(piece(0, "a", "lo", ""), piece(0, None, "ok", ""), piece(0, arguments=HANOI)),
        *(piece(1, "b", "lo", ""), piece(1, None, "look", ""), piece(1, arguments=HUE)),
    ],
    "the whole arguments again at the end": [
        *(piece(0, "a", "look", HANOI[:9]), piece(0, arguments=HANOI[9:]), piece(0, "a", "look", HANOI)),
        *(piece(1, "b", "look", HUE[:9]), piece(1, arguments=HUE[9:]), piece(1, arguments=HUE)),
    ],
    "an empty object before the arguments": [
        *(piece(0, "a", "look", "{}"), piece(0, arguments=HANOI[:9]), piece(0, arguments=HANOI[9:])),
        *(piece(1, "b", "look", "{}"), piece(1, arguments=HUE)),
    ],
    "arguments as objects": [piece(0, "a", "look", json.loads(HANOI)), piece(1, "b", "look", json.loads(HUE))],
    "ids as numbers": [piece(0, 0, "look", HANOI), piece(1, 1, "look", HUE)],
    "ids late": [
        *(piece(0, None, "look", HANOI[:9]), piece(0, "a", None, HANOI[9:])),
        *(piece(1, "", "look", HUE[:9]), piece(1, "b", "", HUE[9:])),
    ],
    "both in one chunk, with junk between": [
        WIRE.delta(
            {
                "tool_calls": [
                    {"id": "a", "function": {"name": "look", "arguments": HANOI}},
                    *(None, {}, {"function": None}, 7, {"function": {"arguments": ""}}),
                    {"id": "b", "function": {"name": "look", "arguments": HUE}},
                ]
            }
        )
    ],
}


@pytest.mark.parametrize("size", [0, 1])
@pytest.mark.parametrize("how", TWO_CALLS)
async def test_calls_are_told_apart_by_id_number_and_completeness(talk: Talk, how: str, size: int):
    deltas = await talk.read(*TWO_CALLS[how], END, size=size)

    assert named_calls(deltas) == [("look", "Hà Nội"), ("look", "Huế")]
    assert ending_of(deltas).reason == "tool_calls"


async def test_calls_of_different_tools_without_arguments_are_two(talk: Talk):
    for numbered in (True, False):
        pieces = (piece(0 if numbered else None, "a", "up", ""), piece(1 if numbered else None, "b", "down", ""))
        assert [("a", "up", {}), ("b", "down", {})] == calls_of(await talk.read(*pieces, END))


async def test_a_call_in_the_format_before_tools_is_read(talk: Talk):
    pieces = [WIRE.delta({"function_call": {"name": "look", "arguments": ""}})]
    pieces += [WIRE.delta({"function_call": {"arguments": part}}) for part in (HANOI[:9], HANOI[9:])]

    deltas = await talk.read(*pieces, WIRE.end("function_call"))

    assert named_calls(deltas) == [("look", "Hà Nội")]
    assert ending_of(deltas).reason == "tool_calls"


@pytest.mark.parametrize(
    ("content", "text", "thought"),
    [
        ([{"type": "text", "text": "all "}, {"type": "text", "text": "right"}], "all right", ""),
        (["all ", "right"], "all right", ""),
        ({"type": "text", "text": "all right"}, "all right", ""),
        ([{"type": "output_text", "text": "all right"}, {"type": "image_url"}, 7, None], "all right", ""),
        (
            [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, {"type": "text", "text": "yes"}],
            "yes",
            "hm",
        ),
        ([{"type": "reasoning", "text": "hm"}, {"type": "text", "text": "yes"}], "yes", "hm"),
    ],
)
async def test_a_content_of_parts_is_read(talk: Talk, content: Any, text: str, thought: str):
    deltas = await talk.read(WIRE.delta({"content": content}), WIRE.end())

    assert (text, thought) == (text_of(deltas), thought_of(deltas))


async def test_a_whole_message_in_place_of_a_delta_is_read(talk: Talk):
    whole = {"role": "assistant", "content": "all right", "reasoning_content": "hm"}
    for choice in (
        {"message": whole, "finish_reason": "stop"},
        {"delta": {}, "message": whole, "finish_reason": "stop"},
    ):
        deltas = await talk.read(WIRE.frame({"choices": [choice]}), DONE)

        assert ("all right", "hm") == (text_of(deltas), thought_of(deltas))


async def test_pieces_may_come_as_messages(talk: Talk):
    pieces = [WIRE.frame({"choices": [{"message": {"content": part}}]}) for part in ("ha", "ha", "!")]

    assert text_of(await talk.read(*pieces, WIRE.end())) == "haha!"


async def test_pieces_may_be_called_a_whole_answer(talk: Talk):
    names = ("one ", "two ", "three")
    pieces = [WIRE.delta({"content": name}, object="chat.completion") for name in names]
    last = WIRE.delta({}, "stop", object="chat.completion")
    deltas = await talk.read(*pieces, last, DONE, size=1)  # each in a read of its own
    assert ("one two three", "stop") == (text_of(deltas), ending_of(deltas).reason)


async def test_a_message_that_repeats_what_was_streamed_adds_nothing(talk: Talk):
    call = {"id": "a", "type": "function", "function": {"name": "look", "arguments": HANOI}}
    last = {"delta": {}, "message": {"content": "all right", "tool_calls": [call]}, "finish_reason": "tool_calls"}
    said = WIRE.words("all "), WIRE.words("right"), piece(0, "a", "look", HANOI)

    deltas = await talk.read(*said, WIRE.frame({"choices": [last]}), DONE)

    assert ("all right", [("look", "Hà Nội")]) == (text_of(deltas), named_calls(deltas))


async def test_text_of_a_completion_is_read(talk: Talk):
    frames = [WIRE.frame({"choices": [{"text": part, "finish_reason": None}]}) for part in ("all ", "right")]

    assert text_of(await talk.read(*frames, WIRE.end())) == "all right"


@pytest.mark.parametrize(
    "last", [b"data: [DONE] \n\n", b"data:[DONE]", b"data: [DONE]\n", b"data: [DONE]\r\n\r\n", b""]
)
async def test_an_end_mark_may_have_blanks_or_be_missing(talk: Talk, last: bytes):
    said = WIRE.words("all right"), WIRE.end(mark=False), last

    assert ending_of(await talk.read(*said)).reason == "stop"


async def test_events_without_an_empty_line_between_them_are_read(talk: Talk):
    sent = b"".join([WIRE.words("all "), WIRE.words("right"), WIRE.end()]).replace(b"\n\n", b"\n")

    for size in (0, 1):
        assert text_of(await talk.read(sent, size=size)) == "all right"


async def test_objects_without_the_name_of_the_field_are_read(talk: Talk):
    sent = b"".join([WIRE.words("all "), WIRE.words("right"), WIRE.end(mark=False)]).replace(b"data: ", b"")

    assert text_of(await talk.read(sent)) == "all right"


@pytest.mark.parametrize(
    "frame",
    [
        b'event: error\ndata: {"message": "The weir is closed", "code": "weir"}\n\n',
        b"event: error\ndata: The weir is closed: weir\n\n",
        b'event:error\ndata: {"error": {"message": "The weir is closed", "code": "weir"}}\n\n',
        b'error: {"message": "The weir is closed", "code": "weir"}\n\n',
        b'{"error": {"message": "The weir is closed", "code": "weir"}}\n',
        b'{\n  "error": {\n    "message": "The weir is closed",\n    "code": "weir"\n  }\n}\n',
        b'data: {"object": "error", "message": "The weir is closed", "type": "weir"}\n\n',
        b'data: {"error_code": "weir", "error_msg": "The weir is closed"}\n\n',
        b'data: {"choices": [], "error": {"message": "The weir is closed", "code": "weir"}}\n\n',
        b"data: {'error': {'message': 'The weir is closed', 'code': 'weir'}}\n\n",
        b'data: {"choices":[{"delta":{"content":""},"finish_reason":"error",'
        b'"error":{"code":"weir","message":"The weir is closed"}}]}\n\n',
        b'data: {"choices":[{"delta":{},"finish_reason":"error"}]}\n\n'
        b'data: {"error":{"code":"weir","message":"The weir is closed"}}\n\n',
        b'data: {"base_resp":{"status_code":1004,"status_msg":"The weir is closed (weir)"}}\n\n',
    ],
)
async def test_an_error_in_any_shape_is_told_and_never_an_end(talk: Talk, frame: bytes):
    for rest in (b"", DONE, WIRE.end()):
        error = await talk.fail(WIRE.words("half of "), frame, rest)

        assert error.retryable
        assert "The weir is closed" in error.message
        assert "weir" in error.message.replace("The weir is", "")


@pytest.mark.parametrize(
    ("code", "said", "expected"),
    [
        ("context_length_exceeded", "too long", ContextTooLong),
        (400, "This model's maximum context length is 4096 tokens.", ContextTooLong),
        ("insufficient_quota", "pay", ProviderQuotaExhausted),
        (402, "pay", ProviderQuotaExhausted),
        ("invalid_request_error", "no", ProviderRefused),
        ("BadRequestError", "no", ProviderRefused),
        (502, "upstream", ProviderOverloaded),
    ],
)
async def test_an_error_body_with_200_is_told_by_its_code(talk: Talk, code: Any, said: str, expected: type):
    body = json.dumps({"error": {"message": said, "code": code}}).encode()

    error = await talk.fail(body, content_type="application/json")

    assert expected is type(error)
    assert said in error.message
    assert str(code) in error.message


@pytest.mark.parametrize("sent", ["length", "max_tokens", "MAX_TOKENS", "model_length"])
async def test_vendors_words_for_the_limit_are_known(talk: Talk, sent: str):
    assert ending_of(await talk.read(WIRE.words("a"), WIRE.end(sent))).reason == "length"


@pytest.mark.parametrize("sent", ["end", "eos", "end_turn", "COMPLETE", "STOP", "stop_sequence"])
async def test_vendors_words_for_the_end_are_known(talk: Talk, sent: str):
    assert ending_of(await talk.read(WIRE.words("a"), WIRE.end(sent))).reason == "stop"


async def test_empty_reasons_before_the_end_are_none(talk: Talk):
    frames = [WIRE.delta({"content": part}, reason) for part, reason in (("a", ""), ("b", None), ("c", []), ("d", 0))]

    deltas = await talk.read(*frames, WIRE.end("length"))

    assert ("abcd", "length") == (text_of(deltas), ending_of(deltas).reason)
