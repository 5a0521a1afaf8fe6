"""OpenAI's wire format as real vendors write it, and what is sent to each of them."""

import asyncio
import json
import socket

import msgspec
import pytest

from graphs.providers.contract import (
    ExtraDelta,
    Finished,
    ImagePart,
    Message,
    ModelRequest,
    ProviderTimeouts,
    ReasoningDelta,
    TextDelta,
    TextPart,
    ToolCallDelta,
    ToolCallPart,
    ToolResultPart,
    Usage,
)
from graphs.providers.errors import (
    ContextTooLong,
    ModelUnknown,
    ProviderInvalidResponse,
    ProviderOverloaded,
    ProviderQuotaExhausted,
    ProviderRateLimited,
    ProviderRefused,
    ProviderRejectedKey,
    ProviderStreamCut,
    ProviderUnreachable,
    ProviderWrongBaseUrl,
    ToolsUnsupported,
    safe_excerpt,
)
from graphs.providers.http.sse import SseSplitter
from graphs.providers.http.statuses import error_for_status, parse_retry_after
from graphs.providers.openai.chat_request import request_body
from graphs.providers.openai.provider import OpenAICompatible
from graphs.providers.openai.vendors import VENDORS
from graphs.providers.openai.wire_format import ChunkReader
from graphs.providers.registry import open_session
from tests.counterparts.openai.server import OpenAIServer
from tests.graphs.model_requests import PATIENT, ask, collect
from tests.waiting import PATIENCE_S

LOCAL = VENDORS["openai"].at("http://127.0.0.1:1/v1")
STREAM = (
    b": OPENROUTER PROCESSING\r\n\r\n"
    b'event: message\r\nid: 4\r\ndata:{"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}\r\n\r\n'
    b'data: {"choices":[{"delta":{"content":"H\xc3\xa0 "}}]}\r\n\r\n'
    b'data: {"choices":[{"delta":\r\ndata: {"content":"N\\u1ed9i"}}],"usage":null}\r\n\r\n'
    b'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\n'
    b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}\n\n'
    b"data: [DONE]"
)


def parse_stream(*pieces: bytes, request: ModelRequest | None = None):
    """What the parsers make of a stream that arrives in these pieces."""
    events, chunks, deltas = SseSplitter("it"), ChunkReader("it", request or ask("m")), []
    for piece in pieces:
        deltas += chunks.feed(events.feed(piece))
        chunks.check()
    deltas += chunks.feed(events.flush())
    chunks.check()
    return [*deltas, *chunks.finish(events.foreign)]


def request_json(request: ModelRequest, vendor=LOCAL) -> dict:
    return msgspec.json.decode(request_body(request, vendor))


def event(body: dict) -> bytes:
    return b"data: " + msgspec.json.encode(body) + b"\n\n"


def calls_of(deltas) -> list[tuple[str, str, str]]:
    """Return (id, name, arguments) of each call."""
    calls: dict[int, list[str]] = {}
    for delta in deltas:
        if isinstance(delta, ToolCallDelta):
            call = calls.setdefault(delta.index, ["", "", ""])
            call[0], call[1], call[2] = delta.id or call[0], call[1] + delta.name, call[2] + delta.arguments
    return [(call[0], call[1], call[2]) for call in calls.values()]


def chunk_of(delta: dict, reason: str | None = None) -> bytes:
    return event({"choices": [{"delta": delta, "finish_reason": reason}]})


@pytest.mark.parametrize("size", [1, 2, 3, 7, 50, 10_000])
def test_a_stream_cut_anywhere_reads_the_same(size: int):
    deltas = parse_stream(*(STREAM[i : i + size] for i in range(0, len(STREAM), size)))

    assert "".join(d.text for d in deltas if isinstance(d, TextDelta)) == "Hà Nội"
    assert Finished("stop", Usage(3, 2)) == deltas[-1]


@pytest.mark.parametrize(
    "more",
    [
        b'data: {"a":1}\n\ndata: {"b":2}\n\n',
        b'data: {"a":1}\ndata: {"b":2}\n\n',
        b'data: {"a":\ndata: 1}\n\ndata: {"b":2}\n\n',
        b'data: {"a":1}\n\n\n\ndata: {"b":2}\n\n',
        b'data: {"a":1}\r\n\r\ndata: {"b":2}\n\n',
        b'data: {"a":1}\n\n: ping\n\ndata: {"b":2}\n\n',
        b'data: {"a":1}\n\nevent: error\ndata: {"b":2}\n\n',
        b'data: {"a":1}\n\n{\n"b":2\n}\n\n',
        b"event: error\n",
        b"{\n",
        b"data: ",
        b"data: {}\r",
    ],
    ids=lambda more: more[-22:].decode().encode("unicode_escape").decode(),
)
def test_events_that_come_whole_read_as_those_that_come_byte_by_byte(more: bytes):
    last = event({"c": 3})
    whole, bytewise = SseSplitter("it"), SseSplitter("it")
    payloads = [one for piece in (event({}), event({}), more, last) for one in whole.feed(piece)]
    expected = [one for byte in event({}) * 2 + more + last for one in bytewise.feed(bytes([byte]))]
    assert expected == payloads
    assert expected[:2] == [b"{}", b"{}"]


def test_deltas_of_one_piece_are_one_delta():
    assert [TextDelta("Hà Nội"), Finished("stop", Usage(3, 2))] == parse_stream(STREAM)


@pytest.mark.parametrize("field", ["reasoning", "reasoning_content"])
def test_reasoning_is_kept_apart_from_the_answer_and_in_order(field: str):
    deltas = parse_stream(chunk_of({field: "hm"}) + chunk_of({"content": "yes"}) + chunk_of({field: "!"}, "stop"))

    assert [ReasoningDelta("hm"), TextDelta("yes"), ReasoningDelta("!")] == deltas[:-1]


def test_tool_calls_without_numbers_are_told_apart_by_their_ids():
    calls = [{"id": "a", "function": {"name": "f", "arguments": "{}"}}, {"id": "b", "function": {"name": "g"}}]

    deltas = parse_stream(
        chunk_of({"tool_calls": calls}), chunk_of({"tool_calls": [{"function": {"arguments": "{}"}}]}, "stop")
    )

    assert [("a", "f", "{}"), ("b", "g", "{}")] == calls_of(deltas)
    assert deltas[-1].reason == "tool_calls"


def test_a_finish_reason_without_the_done_mark_is_an_end():
    assert parse_stream(chunk_of({"content": "a"}, "length"))[-1].reason == "length"


def test_the_done_mark_without_a_finish_reason_is_an_end_when_something_was_said():
    assert parse_stream(chunk_of({"content": "a"}) + b"data: [DONE]\n\n")[-1].reason == "stop"


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ({"message": "slow down", "code": 429}, ProviderRateLimited),
        ({"message": "slow down", "type": "rate_limit_exceeded"}, ProviderRateLimited),
        ({"message": "too long", "code": "context_length_exceeded"}, ContextTooLong),
        ({"message": "no", "code": 401}, ProviderRejectedKey),
        ({"message": "boom", "type": "server_error"}, ProviderOverloaded),
        ("boom", ProviderOverloaded),
    ],
)
def test_an_error_in_mid_stream_is_told_by_its_code(error, expected):
    with pytest.raises(expected):
        parse_stream(chunk_of({"content": "a"}), event({"error": error}))


def test_llama_cpps_error_line_is_an_error():
    with pytest.raises(ProviderOverloaded, match="no slot"):
        parse_stream(b'error: {"message": "no slot"}\n\n')


@pytest.mark.parametrize(
    "garbage", [b"<html><body>502</body></html>\n", b"data: [1, 2\n\n", b'data: {"choices": 4\n\n']
)
def test_what_is_not_the_protocol_is_garbage(garbage: bytes):
    with pytest.raises(ProviderInvalidResponse):
        parse_stream(garbage)


def test_fields_left_empty_are_not_sent():
    expected = {"model", "messages", "stream", "stream_options"}

    assert expected == set(request_json(ask("m")))


def test_fields_travel_under_openais_names():
    fields = {"temperature": 0.0, "top_p": 0.5, "stop": ("a",), "seed": 0, "response_format": {"type": "json_object"}}

    body = request_json(ask("m", **fields, extra={"top_k": 3, "model": "not this"}))

    assert {**fields, "stop": ["a"], "top_k": 3, "model": "m"} == {k: body[k] for k in (*fields, "top_k", "model")}


def test_the_token_cap_has_the_name_that_the_vendor_knows():
    request = ask("m", max_tokens=9)

    assert request_json(request, VENDORS["openai"])["max_completion_tokens"] == 9
    assert request_json(request, LOCAL)["max_tokens"] == 9
    assert "max_completion_tokens" not in request_json(request, LOCAL)


def test_deepseeks_thoughts_go_back_with_the_call_that_they_led_to():
    reader = ChunkReader("deepseek", ModelRequest(model="m", messages=()), returns_thoughts=True)
    call = {"index": 0, "id": "c", "function": {"name": "f", "arguments": "{}"}}
    deltas = ({"reasoning_content": "Let me "}, {"reasoning_content": "look."}, {"tool_calls": [call]})
    chunks = [{"choices": [{"delta": delta}]} for delta in deltas]
    chunks.append({"choices": [{"delta": {}, "finish_reason": "tool_calls"}]})
    reader.feed([json.dumps(chunk).encode() for chunk in chunks])
    assert ExtraDelta({"reasoning_content": "Let me look."}) in reader.finish()


def test_a_conversation_with_tools_and_pictures_becomes_openais():
    picture = "data:image/png;base64,aGk="
    messages = (
        Message.of("developer", "be brief"),
        Message("user", (TextPart("what is it"), ImagePart(picture, "low"))),
        Message("assistant", (ToolCallPart("c1", "f", '{"a":1}'), ToolCallPart("c2", "g", "{}"))),
        Message("tool", (ToolResultPart("c1", "one"), ToolResultPart("c2", "two"))),
    )

    body = request_json(ModelRequest(model="m", messages=messages))["messages"]

    image = {"type": "image_url", "image_url": {"url": picture, "detail": "low"}}
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}
    assert [m["role"] for m in body] == ["developer", "user", "assistant", "tool", "tool"]
    assert [{"type": "text", "text": "what is it"}, image] == body[1]["content"]
    assert (None, call) == (body[2]["content"], body[2]["tool_calls"][0])
    assert body[4] == {"role": "tool", "tool_call_id": "c2", "content": "two"}


def test_a_message_survives_json():
    message = Message(
        "user", (TextPart("a"), ImagePart("data:x"), ToolCallPart("i", "n", "{}"), ToolResultPart("i", "t"))
    )

    assert message == msgspec.json.decode(msgspec.json.encode(message), type=Message)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, None),
        ({"Retry-After": "2"}, 2.0),
        ({"Retry-After": "0.5"}, 0.5),
        ({"retry-after-ms": "250", "Retry-After": "9"}, 0.25),
        ({"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
        ({"Retry-After": "99999999"}, 3600.0),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "nan"}, None),
        ({"retry-after-ms": "nan"}, None),
    ],
)
def test_retry_after_is_read_in_every_form(headers, expected):
    assert expected == parse_retry_after(headers)


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (404, '{"error":{"message":"no such model","code":"model_not_found"}}', ModelUnknown),
        (404, '{"detail":"Not Found"}', ProviderWrongBaseUrl),
        (429, '{"error":{"message":"pay","code":"insufficient_quota"}}', ProviderQuotaExhausted),
        (503, "<html>", ProviderOverloaded),
        (529, "", ProviderOverloaded),
        (302, "", ProviderInvalidResponse),
        (413, "[]", ProviderRefused),
        (400, '{"error":{"message":"too long","code":"context_length_exceeded"}}', ContextTooLong),
        (400, '{"object":"error","message":"This model\'s maximum context length is 4096 tokens."}', ContextTooLong),
        (
            400,
            '{"error":{"code":400,"message":"it exceeds the available context size","type":"exceed_context_size_error"}}',
            ContextTooLong,
        ),
        (400, '{"error":{"message":"prompt is too long: 210000 tokens > 200000 maximum"}}', ContextTooLong),
        (
            400,
            '[{"error":{"message":"The input token count (9) exceeds the maximum number of tokens allowed (8)."}}]',
            ContextTooLong,
        ),
        (400, '{"error": null}', ProviderRefused),
        (
            400,
            '{"object":"error","message":"\\"auto\\" tool choice requires --enable-auto-tool-choice"}',
            ToolsUnsupported,
        ),
        (404, '{"error":{"message":"No endpoints found that support tool use."}}', ToolsUnsupported),
        (500, '{"error":{"code":500,"message":"tools param requires --jinja flag"}}', ToolsUnsupported),
    ],
)
def test_each_status_has_its_error(status, body, expected):
    assert expected is type(error_for_status("it", status, {}, body, model="m"))


def test_no_key_is_ever_quoted():
    key = "secret-4711"

    assert safe_excerpt(f"bad {key} and sk-abc123def\n here", key) == "bad *** and *** here"
    assert key not in error_for_status("it", 400, {}, f'{{"error":"{key}"}}', key=key).message
    assert len(safe_excerpt("x" * 5000)) == 300


async def test_a_server_that_does_not_accept_is_unreachable_after_the_connect_limit():
    # A backlog of 0 that is full: Linux drops further SYNs, which is what a firewall looks like.
    with socket.socket() as full, socket.socket() as first, socket.socket() as second:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for filler in (first, second):
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        async with open_session() as session:
            vendor = LOCAL.at(f"http://127.0.0.1:{full.getsockname()[1]}/v1")
            timeouts = ProviderTimeouts(connect_s=0.2)
            with pytest.raises(ProviderUnreachable, match=r"within 0\.2 s"):
                async with asyncio.timeout(PATIENCE_S):
                    await collect(OpenAICompatible(session, vendor, timeouts=timeouts), ask("text-1"))


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (b"SSH-2.0-OpenSSH_9\r\n\r\n", ProviderInvalidResponse),
        (b"", ProviderUnreachable),
        (b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n", ProviderInvalidResponse),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\ndata: ", ProviderStreamCut),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", ProviderInvalidResponse),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 22\r\n\r\n<html>It works!</html>", ProviderInvalidResponse),
    ],
)
async def test_a_server_that_is_no_model_server_is_told_apart(said: bytes, expected):
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(said)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(talk, "127.0.0.1", 0) as server, open_session() as session:
        vendor = LOCAL.at(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1")
        with pytest.raises(expected):
            await collect(OpenAICompatible(session, vendor, timeouts=PATIENT), ask("text-1"))


async def test_the_key_is_sent_as_the_vendor_wants_it():
    async with OpenAIServer() as server, open_session() as session:
        for name, header in (("groq", "authorization"), ("azure", "api-key")):
            await OpenAICompatible(session, VENDORS[name].at(server.base_url), key="k1").check_key()
            assert "k1" in server.requests[-1].headers[header]


async def test_a_wrong_key_is_rejected_without_quoting_it():
    async with OpenAIServer(key="right") as server, open_session() as session:
        provider = OpenAICompatible(session, LOCAL.at(server.base_url), key="wrong-key", timeouts=PATIENT)

        with pytest.raises(ProviderRejectedKey) as caught:
            await provider.check_key()

    assert "wrong-key" not in caught.value.message


async def test_reasoning_and_tool_calls_arrive_over_the_wire():
    async with OpenAIServer() as server, open_session() as session:
        provider = OpenAICompatible(session, LOCAL.at(server.base_url), timeouts=PATIENT)

        thought = await collect(provider, ask("reasoning"))
        called = await collect(provider, ask("tool-call"))

    assert isinstance(thought[0], ReasoningDelta)
    assert "".join(d.arguments for d in called if isinstance(d, ToolCallDelta)) == '{"city": "Hà Nội"}'
    assert Finished("tool_calls", Usage(5, 3), model="tool-call") == called[-1]
