"""What model servers send that isn't as documented: every provider reads what is there, and none is fooled."""

import json
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass

import aiohttp
import pytest

from graphs.providers.breakers import Breakers
from graphs.providers.contract import Delta, Finished, Provider, ReasoningDelta, ToolCallDelta
from graphs.providers.errors import ProviderSaidNothing, ProviderStreamCut
from graphs.providers.fallback import ChainModel, stream_with_fallback
from graphs.providers.offline.provider import Offline
from graphs.tool_calls import ToolCalls
from schema.errors import ProviderError
from tests.conformance.dialects import DIALECTS, Dialect
from tests.counterparts.raw_server import Ending, RawAnswer, RawServer
from tests.graphs.model_requests import PATIENT, ask, collect, text_of

SENTENCE, CODE = "The weir is closed for repairs", "weir_closed"
BYTE_BY_BYTE = 1


@dataclass
class Talk:
    """A provider and the server behind it. Tests say what the server sends, and get what the provider made of it."""

    dialect: Dialect
    server: RawServer
    provider: Provider

    async def read(self, *frames: bytes, size: int = 0, **request: object) -> list[Delta]:
        """Return the deltas of an answer of these frames, cut into pieces of `size` bytes."""
        return await self.read_pieces(pieces_of(b"".join(frames), size) if size else frames, **request)

    async def read_pieces(
        self,
        pieces: Sequence[bytes],
        *,
        status: int = 200,
        content_type: str = "",
        ending: Ending = "proper",
        **request,
    ) -> list[Delta]:
        """Return the deltas of an answer that comes in these pieces."""
        kind = content_type or self.dialect.content_type
        self.server.then(RawAnswer(tuple(pieces), status, kind, ending))
        deltas: list[Delta] = []
        await collect(self.provider, ask("m", **request), into=deltas)
        return deltas

    async def fail(self, *frames: bytes, **how) -> ProviderError:
        """Return the error of an answer of these frames."""
        with pytest.raises(ProviderError) as caught:
            await self.read_pieces(frames, **how)
        return caught.value


@pytest.fixture(params=sorted(DIALECTS))
async def talk(request: pytest.FixtureRequest) -> AsyncGenerator[Talk, None]:
    dialect = DIALECTS[request.param]
    async with RawServer() as server, aiohttp.ClientSession() as session:
        yield Talk(dialect, server, dialect.provider(session, server.url, PATIENT))


def pieces_of(data: bytes, size: int) -> list[bytes]:
    return [data[i : i + size] for i in range(0, len(data), size)]


def thought_of(deltas: Sequence[Delta]) -> str:
    return "".join(delta.text for delta in deltas if isinstance(delta, ReasoningDelta))


def calls_of(deltas: Sequence[Delta]) -> list[tuple[str, str, object]]:
    """Return (id, name, arguments) of the calls, put together as headrace and its clients do."""
    calls = ToolCalls()
    for delta in deltas:
        if isinstance(delta, ToolCallDelta):
            calls.add(delta)
    return [(call["id"], call["name"], json.loads(call["arguments"])) for call in calls.in_order]


def ending_of(deltas: Sequence[Delta]) -> Finished:
    assert isinstance(deltas[-1], Finished)
    return deltas[-1]


@pytest.mark.parametrize("size", [0, BYTE_BY_BYTE, 7])
@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("before", [b"", b"\xef\xbb\xbf", b"\n\n"])
async def test_line_ends_and_byte_order_marks_are_no_matter(talk: Talk, line_end: bytes, before: bytes, size: int):
    frames = talk.dialect.words("Hà "), talk.dialect.words("Nội"), talk.dialect.end()
    sent = before + b"".join(frames).replace(b"\n", line_end)

    deltas = await talk.read(sent, size=size)

    assert text_of(deltas) == "Hà Nội"
    assert (ending_of(deltas).reason, ending_of(deltas).usage.input_tokens) == ("stop", 3)


@pytest.mark.parametrize(
    ("literals", "expected"),
    [
        ([b'"a\\u0000b"'], "ab"),
        ([b'"a\x00b"'], "ab"),
        ([b'"a\xffb"'], "a\ufffdb"),
        ([b'"\xe2\x82"', b'"b"'], "\ufffdb"),
        ([b'"a\\ud83d"', b'"b"'], "a\ufffdb"),
        ([b'"a\\ude00b"'], "a\ufffdb"),
        ([b'"a\\ud83d"'], "a\ufffd"),
        ([b'"\\ud83d"', b'"\\ude00 wave"'], "\U0001f600 wave"),
        ([b'"a\tb\nc"'.replace(b"\n", b"\x0b")], "a\tb\x0bc"),
    ],
)
async def test_a_broken_character_costs_no_answer(talk: Talk, literals: list[bytes], expected: str):
    deltas = await talk.read(*(talk.dialect.raw_words(one) for one in literals), talk.dialect.end())

    assert text_of(deltas) == expected
    text_of(deltas).encode()  # as Postgres and every client want it


async def test_single_fields_of_wrong_types_count_as_absent(talk: Talk):
    odd = list(talk.dialect.odd_frames())
    assert len(odd) > 10

    deltas = await talk.read(talk.dialect.words("still "), *odd, talk.dialect.words("here"), talk.dialect.end())

    assert text_of(deltas) == "still here"
    assert [] == calls_of(deltas)
    assert ending_of(deltas).reason == "stop"


@pytest.mark.parametrize("counts", [(-(10**9), 2**63), (7.0, "7"), ([], {}), (True, None), (10**400, -1)])
async def test_counts_that_are_none_are_estimated(talk: Talk, counts: tuple[object, object]):
    usage = ending_of(await talk.read(talk.dialect.words("word"), talk.dialect.end(counts=counts))).usage

    assert usage.estimated
    assert (0 < usage.input_tokens < 100, usage.output_tokens) == (True, 1)


@pytest.mark.parametrize("status", [200, 201, 206])
@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("content_type", ["application/json", "text/event-stream"])
async def test_a_server_that_ignores_stream_is_understood(talk: Talk, status: int, indent: int, content_type: str):
    body = json.dumps(talk.dialect.whole("The whole\n{answer}"), indent=indent).encode()

    for pieces in ([body], pieces_of(body, 5)):
        deltas = await talk.read_pieces(pieces, status=status, content_type=content_type)

        assert text_of(deltas) == "The whole\n{answer}"
        assert (ending_of(deltas).reason, ending_of(deltas).usage.output_tokens) == ("stop", 2)


@pytest.mark.parametrize("status", [200, 400, 500])
async def test_the_vendors_own_sentence_and_code_arrive(talk: Talk, status: int):
    for body in talk.dialect.error_bodies(SENTENCE, CODE):
        for indent in (None, 2):
            sent = json.dumps(body, indent=indent).encode()
            error = await talk.fail(sent, status=status, content_type="application/json")

            assert SENTENCE in error.message, body
            assert CODE in error.message, body
            assert error.retryable == (status != 400), body


async def test_an_error_in_mid_answer_is_told_and_may_be_retried(talk: Talk):
    deltas: list[Delta] = []
    talk.server.then(
        RawAnswer((talk.dialect.words("half of "), talk.dialect.error(SENTENCE, CODE), talk.dialect.end()))
    )

    with pytest.raises(ProviderError, match=SENTENCE) as caught:
        await collect(talk.provider, ask("m"), into=deltas)

    assert caught.value.retryable
    assert CODE in caught.value.message
    assert text_of(deltas) == "half of "


async def test_a_word_that_is_no_end_is_a_cut_and_never_stop(talk: Talk):
    for word in talk.dialect.breaks_off:
        error = await talk.fail(talk.dialect.words("half of "), talk.dialect.end(word))

        assert isinstance(error, ProviderStreamCut), word
        assert (error.retryable, word in error.message) == (True, True)


async def test_a_model_that_breaks_off_before_its_first_word_is_replaced_by_the_next(talk: Talk):
    talk.server.then(RawAnswer((talk.dialect.end(talk.dialect.breaks_off[0]),), content_type=talk.dialect.content_type))
    chain = [
        ChainModel(talk.provider, "m", "a/m", "a"),
        ChainModel(Offline(0), "extractive", "offline/extractive", "b"),
    ]

    deltas = [delta async for delta in stream_with_fallback(chain, ask("m"), Breakers())]

    assert text_of(deltas)


async def test_an_answer_that_says_nothing_is_an_error_that_may_be_retried(talk: Talk):
    for frames in ((), (talk.dialect.thought("hm, what to say"),), (talk.dialect.words(""),)):
        error = await talk.fail(*frames, talk.dialect.end())

        assert isinstance(error, ProviderSaidNothing)
        assert error.retryable


async def test_an_answer_without_words_may_have_been_cut_by_its_limit(talk: Talk):
    deltas = await talk.read(talk.dialect.thought("hm"), talk.dialect.end("length"))

    assert ("hm", "length") == (thought_of(deltas), ending_of(deltas).reason)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 8, 100])
@pytest.mark.parametrize(
    ("said", "thought", "text"),
    [
        ("<think>\nwater flows\ndown\n</think>\n\nDown.", "water flows\ndown\n", "Down."),
        ("\n<think>hm</think>Down.", "hm", "Down."),
        ("<think>\n\n</think>\n\nDown.", "", "Down."),
        ("[THINK]hm[/THINK]Down.", "hm", "Down."),
        ("◁think▷hm◁/think▷Down.", "hm", "Down."),
        ("</think>\n\nDown.", "", "Down."),
        ("<th>Down</th> <think>", "", "<th>Down</th> <think>"),
        (" <thinks", "", " <thinks"),
        ("a < b </think>", "", "a < b </think>"),
        ("<think>a</thin</think>b", "a</thin", "b"),
    ],
)
async def test_thinking_in_the_text_is_reasoning(talk: Talk, said: str, thought: str, text: str, size: int):
    pieces = [said[i : i + size] for i in range(0, len(said), size)]

    deltas = await talk.read(*map(talk.dialect.words, pieces), talk.dialect.end())

    assert (thought, text) == (thought_of(deltas), text_of(deltas))


async def test_thinking_that_does_not_end_is_no_answer(talk: Talk):
    assert isinstance(await talk.fail(talk.dialect.words("<think>hm"), talk.dialect.end()), ProviderSaidNothing)


@pytest.mark.parametrize("call_id", ["", None, 7, "call_1"])
async def test_a_call_always_has_an_id_and_arguments_that_are_an_object(talk: Talk, call_id: object):
    for arguments, expected in (({"a": [1]}, {"a": [1]}), ('{"a": 1}', {"a": 1}), ({}, {}), ("{}", {})):
        deltas = await talk.read(talk.dialect.call("look", arguments, call_id=call_id), talk.dialect.end())

        [(found, name, read)] = calls_of(deltas)
        assert found
        assert (name, read) == ("look", expected)
        assert ending_of(deltas).reason == "tool_calls"


async def test_a_call_is_not_lost_to_what_its_arguments_hold(talk: Talk):
    sent = talk.dialect.call("look", {"long": 2**70, "half": "aHALF", "none": float("nan")})

    deltas = await talk.read(sent.replace(b"HALF", b"\\ud83d"), talk.dialect.end())

    [(_, name, read)] = calls_of(deltas)

    assert ("look", {"long": 2**70, "half": "a\ufffd", "none": None}) == (name, read)


async def test_what_postgres_cannot_store_is_left_out_of_calls(talk: Talk):
    [(call_id, name, arguments)] = calls_of(
        await talk.read(talk.dialect.call("lo\0ok", {"a": "b\0"}, call_id="call\0_1"), talk.dialect.end())
    )

    assert ("call_1", "look") == (call_id, name)
    assert "\0" not in json.dumps(arguments, ensure_ascii=False)


@pytest.mark.parametrize(
    "after", [b"data: {broken\n\n", b'data: {"error": {"message": "late"}}\n\n', b"<html>\n", b"{broken\n"]
)
async def test_nothing_after_the_reason_can_fail_an_answer(talk: Talk, after: bytes):
    said = talk.dialect.words("all of it"), talk.dialect.end(mark=False), after

    for ending in ("proper", "reset", "hold"):
        deltas = await talk.read_pieces(said, ending=ending)

        assert ("all of it", "stop") == (text_of(deltas), ending_of(deltas).reason)


async def test_an_answer_without_its_end_is_a_cut(talk: Talk):
    for frames in ((), (talk.dialect.words("half of "),)):
        assert isinstance(await talk.fail(*frames), ProviderStreamCut)


@pytest.mark.parametrize(
    "page", [b"<html><body>502 Bad Gateway</body></html>", b"upstream connect error", b"{broken", b"[1, 2"]
)
async def test_what_is_no_answer_at_all_may_be_retried(talk: Talk, page: bytes):
    error = await talk.fail(page, content_type="text/html")

    assert error.retryable
    assert "<html>" not in error.message


async def test_plain_text_in_place_of_an_answer_is_quoted(talk: Talk):
    assert "upstream connect error" in (await talk.fail(b"upstream connect error\n")).message


@pytest.mark.parametrize("size", [1, 3, 100])
@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ('```json\n{"a": "```"}\n```', '{"a": "```"}'),
        ('```\n{"a": 1}\n```\n', '{"a": 1}'),
        ('\n```json{"a": 1}```', '{"a": 1}'),
        ('<think>hm</think>\n```json\n{"a": 1}\n```', '{"a": 1}'),
        ('{"a": "```json"}', '{"a": "```json"}'),
    ],
)
async def test_json_that_was_asked_for_comes_without_a_fence(talk: Talk, said: str, expected: str, size: int):
    frames = [talk.dialect.words(said[i : i + size]) for i in range(0, len(said), size)]

    asked = await talk.read(*frames, talk.dialect.end(), response_format={"type": "json_object"})
    not_asked = await talk.read(*frames, talk.dialect.end())

    assert json.loads(expected) == json.loads(text_of(asked))
    assert ("```" in text_of(not_asked)) == ("```" in said)


async def test_json_that_nests_without_end_crashes_nothing(talk: Talk):
    deep = b'"a' + b'","x":' + b"[" * 100_000 + b"]" * 100_000
    error = await talk.fail(talk.dialect.raw_words(deep), talk.dialect.end())

    assert error.retryable
