"""The provider of LangChain's chat models and embedders. Each of its models is a class with arguments (`listing.py`), which
runs in a process of its own (`process.py`).

Not for: calling the class (`child/`).
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any, NoReturn, TypeVar

from graphs.providers.answers.answer import Answer
from graphs.providers.answers.call_pieces import CallPiece
from graphs.providers.answers.fields import vectors
from graphs.providers.capabilities import Capabilities, KnownModels, from_name
from graphs.providers.contract import Delta, ModelInfo, ModelRequest, ProviderTimeouts, Purpose
from graphs.providers.errors import (
    ModelUnknown,
    ProviderInvalidResponse,
    ProviderRefused,
    ProviderStalled,
    ProviderTimeout,
)
from graphs.providers.langchain.described import broken_model
from graphs.providers.langchain.failures import error_from
from graphs.providers.langchain.frames import Began, Call, Described, Failed, Piece, Reply, Vectors
from graphs.providers.langchain.listing import NAME, LangChainModel
from graphs.providers.langchain.process import ModelProcess
from graphs.providers.reported import reported_logprobs, reported_name

Wanted = TypeVar("Wanted", Vectors, Described)
Replies = AsyncGenerator[Reply, None]


class LangChain:
    """A `Provider` and `PurposeEmbedder` of the listed models. `close` ends their process."""

    name = NAME

    def __init__(
        self,
        models: Mapping[str, LangChainModel],
        *,
        timeouts: ProviderTimeouts | None = None,
        process: ModelProcess | None = None,
    ) -> None:
        self._models = models
        self._timeouts = timeouts or ProviderTimeouts()
        self._process = process or ModelProcess()
        self._known = KnownModels()

    async def stream(self, request: ModelRequest) -> AsyncGenerator[Delta, None]:
        """See `Provider.stream`."""
        if request.completion is not None:
            raise ProviderRefused(f"{NAME} can't go on with a text; ask with messages.")
        listed = self._listed(request.model)
        answer = Answer(NAME, request, " ".join(listed.secrets))
        async with aclosing(self._process.call(Call(0, listed.name, listed.made, "stream", request))) as replies:
            begun = await self._begun(replies, listed)
            limit_s = self._timeouts.first_token_s
            counts: dict[str, int] = {}
            while True:
                piece = await self._piece(replies, listed, answer, limit_s)
                counts = piece.counts if piece is not None and piece.counts else counts
                if piece is None or piece.is_last:
                    break
                _add(answer, piece)
                if deltas := answer.take():
                    limit_s = self._timeouts.between_tokens_s
                for delta in deltas:
                    yield delta
                limit_s = self._timeouts.end_mark_s if answer.has_reason else limit_s
            for delta in _ended(answer, piece, counts, is_marked=not begun.says_why):
                yield delta

    async def _piece(self, replies: Replies, listed: LangChainModel, answer: Answer, limit_s: float) -> Piece | None:
        """Return the next piece; None if the reason for the end has come, and no last piece does. Raises ProviderError."""
        try:
            async with asyncio.timeout(limit_s):
                reply = await anext(replies)
        except TimeoutError:
            if answer.has_reason:
                return None
            if answer.has_output:
                raise ProviderStalled(f"{NAME}/{listed.name} was silent for {limit_s:g} s in mid-answer.") from None
            raise ProviderTimeout(f"{NAME}/{listed.name} sent no token within {limit_s:g} s.") from None
        if isinstance(reply, Piece):
            return reply
        if isinstance(reply, Failed) and answer.is_complete:
            return None
        _refuse(reply, listed, has_output=answer.has_output)

    async def list_models(self) -> list[ModelInfo]:
        """Return the operator's list, without what is known to be broken."""
        return [ModelInfo(NAME, name) for name in self._models if not broken_model(name)]

    async def check_key(self) -> None:
        """Their classes have no call that costs nothing, so nothing is checked before they are asked."""

    async def describe(self, model: str) -> Capabilities | None:
        """Return what LangChain's data say of the model. Raises ProviderError."""
        listed = self._models.get(model)
        return None if listed is None else await self._known.load(model, lambda: self._describe(listed))

    async def _describe(self, listed: LangChainModel) -> Capabilities:
        found = await self._ask(listed, Call(0, listed.name, listed.made, "describe"), Described)
        named = from_name(NAME, listed.name)
        images = named.images if found.images is None else found.images
        return replace(named, tools=found.tools, images=images, context_tokens=found.context_tokens)

    async def embed(self, texts: Sequence[str], model: str) -> list[list[float]]:
        """See `Embedder`."""
        return await self.embed_for(texts, model, "passage")

    async def embed_for(self, texts: Sequence[str], model: str, purpose: Purpose) -> list[list[float]]:
        """See `PurposeEmbedder`."""
        if not texts:
            return []
        if not all(isinstance(text, str) for text in texts):
            raise ProviderRefused(f"{NAME} embeds texts, and no tokens.")
        listed = self._listed(model)
        call = Call(0, listed.name, listed.made, "embed", texts=list(texts), purpose=purpose)
        return vectors(NAME, (await self._ask(listed, call, Vectors)).vectors, len(texts))

    async def close(self) -> None:
        """End the process."""
        await self._process.close()

    async def _ask(self, listed: LangChainModel, call: Call, wanted: type[Wanted]) -> Wanted:
        async with aclosing(self._process.call(call)) as replies:
            if call.do == "embed":
                await self._begun(replies, listed)
            try:
                async with asyncio.timeout(self._timeouts.first_token_s):
                    reply = await anext(replies)
            except TimeoutError:
                limit_s = self._timeouts.first_token_s
                raise ProviderTimeout(f"{NAME}/{listed.name} did not answer within {limit_s:g} s.") from None
        if not isinstance(reply, wanted):
            _refuse(reply, listed, has_output=False)
        return reply

    async def _begun(self, replies: Replies, listed: LangChainModel) -> Began:
        """Wait until the model is made; its packages may have to be imported."""
        limit_s = max(self._timeouts.pull_s, self._timeouts.first_token_s)
        try:
            async with asyncio.timeout(limit_s):
                reply = await anext(replies)
        except TimeoutError:
            raise ProviderTimeout(f"{NAME}/{listed.name} was not made within {limit_s:g} s.") from None
        if not isinstance(reply, Began):
            _refuse(reply, listed, has_output=False)
        return reply

    def _listed(self, model: str) -> LangChainModel:
        found = self._models.get(model)
        if found is None:
            names = ", ".join(self._models) or "none"
            raise ModelUnknown(f"{NAME} has no model {model[:80]!r}; the operator's list has: {names[:300]}.")
        return found


def _refuse(reply: Reply, listed: LangChainModel, *, has_output: bool) -> NoReturn:
    if isinstance(reply, Failed):
        raise error_from(reply, listed, has_output=has_output)
    raise ProviderInvalidResponse(f"{NAME}/{listed.name} answered with something that was not asked for.")


def _add(answer: Answer, piece: Piece) -> None:
    """Put a piece into the answer."""
    answer.add_thought(piece.thought)
    if piece.text or piece.logprobs:
        answer.add_text(piece.text, reported_logprobs(piece.logprobs))
    if piece.refusal:
        answer.add_refusal(piece.refusal)
    for call in piece.calls:
        answer.add_call(CallPiece(call.index, call.id, call.name, call.arguments))
    answer.model = reported_name(piece.model) or answer.model
    answer.fingerprint = reported_name(piece.fingerprint) or answer.fingerprint
    if piece.reason:
        answer.end(piece.reason)


def _ended(answer: Answer, last: Piece | None, counts: Mapping[str, int], *, is_marked: bool) -> list[Delta]:
    """Return the last deltas. `is_marked`: the class never says why an answer ended, so its end is one."""
    if last is not None and last.reason:
        answer.end(last.reason)
    if last is not None and last.extra:
        answer.add_extra(last.extra)
    parts: dict[str, Any] = {
        name: counts.get(name) for name in ("cached", "cache_write", "cache_write_1h", "reasoning")
    }
    return answer.finish(counts.get("read"), counts.get("written"), is_marked=is_marked, **parts)
