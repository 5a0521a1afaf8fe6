"""OpenAI's chat wire format: stream payloads to deltas.

Not for: what is sent (`chat_request.py`), sockets (`http/vendor_client.py`), or differences between vendors (rows in
`vendors.py`).
"""

from collections.abc import Callable
from typing import Any

import msgspec

from graphs.providers.answers.answer import Answer
from graphs.providers.answers.call_pieces import CallPiece
from graphs.providers.answers.fields import arguments, record
from graphs.providers.answers.json_payloads import TolerantDecoder, read_json
from graphs.providers.contract import (
    ChoiceDelta,
    Delta,
    ExtraDelta,
    Finished,
    ModelRequest,
    Progress,
)
from graphs.providers.http.error_bodies import find_error
from graphs.providers.http.statuses import error_in_stream
from graphs.providers.openai.content_parts import read_parts
from graphs.providers.openai.text_completions import logprobs_of_text
from graphs.providers.reported import reported_details, reported_fields, reported_logprobs, reported_name
from schema.errors import ProviderError


class _Function(msgspec.Struct, gc=False):
    name: str | None = None
    arguments: str | dict[str, Any] | None = None


class _ToolCall(msgspec.Struct, gc=False):
    index: int | None = None
    id: str | None = None
    function: _Function | None = None
    extra_content: Any = None  # Google's: the signature of a thought, without which the next request is refused


class _Delta(msgspec.Struct, gc=False):
    content: str | list[Any] | dict[str, Any] | None = None
    reasoning_content: str | None = None  # DeepSeek, vLLM, llama.cpp
    reasoning: str | None = None  # OpenRouter, Groq
    refusal: str | None = None
    tool_calls: list[_ToolCall] | None = None
    function_call: _Function | None = None  # OpenAI's before there were tools; some servers still
    reasoning_details: Any = None  # OpenRouter's: signed or encrypted thoughts, which go back as they came
    annotations: Any = None  # sources of OpenAI's and OpenRouter's web search
    audio: Any = None  # what is said aloud, of models that speak


class _Choice(msgspec.Struct, gc=False):
    index: int | None = None
    delta: _Delta | None = None
    message: _Delta | None = None  # in an answer that is not streamed, or from servers that mix both up
    text: str | None = None  # of servers that mix it up with `/completions`
    finish_reason: str | None = None
    logprobs: Any = None
    error: Any = None  # OpenRouter


class _Chunk(msgspec.Struct, gc=False):
    object: str | None = None
    model: Any = None
    system_fingerprint: Any = None
    service_tier: Any = None
    moderation: Any = None
    metadata: Any = None
    choices: list[_Choice] | None = None
    usage: Any = None  # {"prompt_tokens", "completion_tokens"}; what isn't must not cost the answer
    error: Any = None


_chunks = TolerantDecoder(_Chunk)


def _is_piece(choice: _Choice) -> bool:
    """Whether a choice is a piece of a stream, whatever its chunk calls itself: some servers name all alike."""
    return choice.delta is not None and choice.message is None


class ChunkReader:
    """The state of one stream: payloads in, deltas out, and at the end `finish`."""

    def __init__(self, provider: str, request: ModelRequest, key: str = "", *, returns_thoughts: bool = False) -> None:
        self._provider = provider
        self._thoughts: list[str] | None = [] if returns_thoughts else None
        self._request = request
        self._key = key
        self._answer = Answer(provider, request, key)
        self._others = [Answer(provider, request, key) for _ in range(1, request.choices)]
        self._usage: Any = None
        self._audio_id: Any = None
        self._ended = False
        self._failure: ProviderError | None = None

    @property
    def ended(self) -> bool:
        """Whether the end mark `[DONE]` has arrived, after which nothing is read."""
        return self._ended

    @property
    def has_finish_reason(self) -> bool:
        """Whether the finish reason has arrived: the answer is complete; only usage and `[DONE]` may follow."""
        return self._answer.has_reason and all(other.has_reason for other in self._others)

    def feed(self, payloads: list[bytes]) -> list[Delta]:
        """Return the deltas of these payloads, with adjacent text joined. An error among them is left for `check`, so that
        the tokens before it are not lost; one after the finish reason can't take the answer away any more."""
        for payload in payloads:
            if payload[:1] != b"{" and payload.strip() == b"[DONE]":
                self._ended = True
                break
            try:
                self._take(self._decode(payload), payload)
            except ProviderError as exc:
                if not self._answer.is_complete:
                    self._failure = exc
                    break
        deltas = self._answer.take()
        return [*deltas, *self._of_others(lambda other: other.take())] if self._others else deltas

    def _of_others(self, take: Callable[[Answer], list[Delta]]) -> list[Delta]:
        """Return deltas of the other choices; of one that never came there are none."""
        found = ((i, take(other)) for i, other in enumerate(self._others, 1) if other.has_output or other.has_reason)
        return [
            ChoiceDelta(i, delta) for i, deltas in found for delta in deltas if not isinstance(delta, _NOT_OF_CHOICES)
        ]

    def check(self) -> None:
        """Raise the error of the last `feed`, if any: ProviderInvalidResponse, or the vendor's own."""
        if self._failure is not None:
            raise self._failure

    def finish(self, foreign: str = "") -> list[Delta]:
        """Return the last deltas; `foreign` is what came besides and was no chunk.

        Raises ProviderStreamCut if there was no finish reason, unless `[DONE]` followed output, or one that is no end, and what
        `Answer.finish` raises.
        """
        usage = self._usage if isinstance(self._usage, dict) else {}
        read_details, written_details = _details(usage, "prompt"), _details(usage, "completion")
        others = self._of_others(lambda other: other.finish(is_marked=self._ended))
        details = {"input_tokens_details": read_details, "output_tokens_details": written_details}
        self._answer.reported |= reported_details(**details)
        answer = self._answer.finish(
            usage.get("prompt_tokens"),
            usage.get("completion_tokens"),
            is_marked=self._ended,
            foreign=foreign,
            cached=read_details.get("cached_tokens", usage.get("prompt_cache_hit_tokens")),  # DeepSeek's name for it
            cache_write=read_details.get("cache_write_tokens"),
            reasoning=written_details.get("reasoning_tokens"),
        )
        last = answer[-1]
        thoughts = "".join(self._thoughts or ())
        if thoughts and isinstance(last, Finished) and last.reason == "tool_calls":
            others = [ExtraDelta({"reasoning_content": thoughts}), *others]
        return [*answer[:-1], *others, last]

    def _decode(self, payload: bytes) -> _Chunk:
        try:
            return _chunks.decode(self._provider, payload)
        except ProviderError:
            if not payload.lstrip().startswith(b"["):
                raise
        self._raise_error(find_error(read_json(self._provider, payload)))
        return _Chunk()

    def _take(self, chunk: _Chunk, payload: bytes) -> None:
        if chunk.usage is not None:
            self._usage = chunk.usage
        if chunk.model is not None and chunk.model != self._answer.model:
            self._answer.model = reported_name(chunk.model) or self._answer.model
        if chunk.system_fingerprint is not None and chunk.system_fingerprint != self._answer.fingerprint:
            self._answer.fingerprint = reported_name(chunk.system_fingerprint) or self._answer.fingerprint
        if chunk.service_tier is not None and chunk.service_tier != self._answer.tier:
            self._answer.tier = reported_name(chunk.service_tier) or self._answer.tier
        if chunk.moderation is not None or chunk.metadata is not None:
            self._answer.reported |= reported_fields({"moderation": chunk.moderation, "metadata": chunk.metadata})
        if not chunk.choices:
            if chunk.usage is None or chunk.error is not None:
                self._raise_error(find_error(read_json(self._provider, payload)))
            return
        for choice in chunk.choices if self._others else chunk.choices[:1]:
            answer = self._answer_of(choice)
            if answer is None:
                continue
            self._take_said(choice, answer)
            if chunk.error or choice.error:
                self._raise_error(choice.error if not chunk.error else find_error(read_json(self._provider, payload)))
            if choice.finish_reason:
                answer.end(choice.finish_reason)
        if chunk.object == "chat.completion" and not any(_is_piece(choice) for choice in chunk.choices):
            self._ended = True  # `stream` was ignored: this is all, whether it says how it ended or not

    def _answer_of(self, choice: _Choice) -> Answer | None:
        """Return the answer that a choice is a piece of; None for one that wasn't asked for."""
        if not self._others:
            return self._answer
        answers, index = (self._answer, *self._others), choice.index or 0
        return answers[index] if 0 <= index < len(answers) else None

    def _raise_error(self, error: Any) -> None:
        if error:
            raise error_in_stream(self._provider, error, key=self._key, model=self._request.model)

    def _take_said(self, choice: _Choice, answer: Answer) -> None:
        delta = choice.delta
        if delta is None or (choice.message is not None and delta == _NOTHING and not answer.has_output):
            delta = choice.message or (_Delta(choice.text) if choice.text else _NOTHING)
        content = delta.content
        if content and isinstance(content, str) and choice.logprobs is None and not (delta.refusal or _has_more(delta)):
            answer.add_text(content)  # nearly every chunk
            return
        told = choice.logprobs if isinstance(choice.logprobs, dict) else {}
        if content or told:
            said, thought = (content, "") if isinstance(content, str) else read_parts(content)
            answer.add_thought(thought)
            answer.add_text(said, reported_logprobs(told.get("content", logprobs_of_text(told))) if told else None)
        refusal_logprobs = reported_logprobs(told.get("refusal"))
        if delta.refusal or refusal_logprobs:
            answer.add_refusal(delta.refusal or "", refusal_logprobs)
        if _has_more(delta):
            self._take_reasoning_and_calls(delta, answer)

    def _take_reasoning_and_calls(self, delta: _Delta, answer: Answer) -> None:
        answer.add_thought(delta.reasoning_content or delta.reasoning or "")
        if self._thoughts is not None and delta.reasoning_content:
            self._thoughts.append(delta.reasoning_content)
        opaque = {"reasoning_details": delta.reasoning_details, "annotations": delta.annotations}
        opaque["audio"] = self._piece_of_audio(delta.audio)
        if extra := {name: value for name, value in opaque.items() if value}:
            answer.add_extra(extra)
        for call in delta.tool_calls or ():
            extra = {} if call.extra_content is None else {"extra_content": call.extra_content}
            answer.add_call(_call_piece(self._provider, call.function or _Function(), call.index, call.id or "", extra))
        if delta.function_call is not None:
            answer.add_call(_call_piece(self._provider, delta.function_call, 0, "", {}))

    def _piece_of_audio(self, piece: Any) -> dict[str, Any]:
        """Return more of what is said aloud: texts of pieces are joined, but for the id."""
        known, self._audio_id = self._audio_id, record(piece).get("id") or self._audio_id
        return {name: value for name, value in record(piece).items() if name != "id" or value != known}


def _call_piece(
    provider: str, function: _Function, index: int | None, call_id: str, extra: dict[str, Any]
) -> CallPiece:
    return CallPiece(index, call_id, function.name or "", arguments(provider, function.arguments), extra)


_NOTHING = _Delta()
_NOT_OF_CHOICES = (ChoiceDelta, Progress)


def _has_more(delta: _Delta) -> bool:
    return bool(
        delta.tool_calls
        or delta.reasoning_content
        or delta.reasoning
        or delta.reasoning_details
        or delta.annotations
        or delta.audio
        or delta.function_call
    )


def _details(usage: dict[str, Any], of: str) -> dict[str, Any]:
    details = usage.get(f"{of}_tokens_details")
    return details if isinstance(details, dict) else {}
