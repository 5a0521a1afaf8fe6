"""Runs a graph for a job: messages in, events out. Knows nothing about queues, leases or Redis."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from graphs.chat.answer import answer
from graphs.chat.context import Question
from graphs.chat.history import for_client, trim
from graphs.data_marks import DataMark
from graphs.messages import (
    read_message,
    read_stored,
    stored_message,
    with_answered_calls,
    with_file_texts,
    without_images,
)
from graphs.providers.completions import AnyCompletion
from graphs.providers.contract import Message, ModelRequest, Provider
from graphs.providers.prompted_tools.provider import NativeOrPromptedTools
from graphs.providers.tokens import estimate_input
from graphs.providers.windows import with_window
from schema.errors import InputError
from schema.events import Event
from schema.queries.sessions.sessions import StoredMessage

REFUSED_IMAGE = "[An image was here. It is left out, because the model's provider failed at the message with it.]"


@dataclass(frozen=True)
class ChatRun:
    """A chat job's request: `model` as `provider/name`, the conversation, and the options of the model request.

    The conversation is `whole` if the client sent it with the request: then the model is shown all of it, in its order, unless
    the client wants it `truncated` to the model's window. A session's is trimmed.
    """

    model: str
    messages: list[Message]
    options: dict[str, Any]
    whole: bool
    truncated: bool = False

    def shown(self, messages: Sequence[Message], window: int | None = None) -> list[Message]:
        """Return what the model is shown of these messages of the conversation; `window` are its tokens, if known."""
        if not self.whole:
            return trim(messages, window=window)
        return for_client(messages, window, self.options.get("max_tokens")) if self.truncated else list(messages)


def read_chat(model: str, payload: dict[str, Any], stored: Sequence[StoredMessage]) -> ChatRun:
    """Return the run of a chat job from its payload and its session's stored messages, oldest first.

    Raises InputError for a payload that can't be sent to any provider.
    """
    raw_messages = read_stored(payload)
    if raw_messages is not None:
        messages = [read_message(message, field=f"messages[{i}]") for i, message in enumerate(raw_messages)]
    else:
        said = [_told(row) for row in stored]
        messages = with_answered_calls(said)
        if said and said[-1].role == "tool" and messages[-1:] != said[-1:]:
            raise InputError("These calls have been answered already. Send a message.", field="tool_results")
        if system := payload.get("system"):
            messages.insert(0, Message.of("system", system))
    is_whole, is_truncated = raw_messages is not None, payload.get("truncation") == "auto"
    return ChatRun(model, messages, _read_options(payload), whole=is_whole, truncated=is_truncated)


def _told(row: StoredMessage) -> Message:
    """Return a stored message; without its images if a provider failed at them, or each later question would fail as well."""
    message = stored_message(row.role, row.parts, row.extra, row.vendor)
    return without_images(message, REFUSED_IMAGE) if row.images_refused else message


def _read_options(payload: dict[str, Any]) -> dict[str, Any]:
    options = payload.get("options") or {}
    return msgspec.json.decode(options) if isinstance(options, str) else options


def read_options(model: str, options: dict[str, Any]) -> ModelRequest:
    """Return a model request without messages. Raises InputError that names the option."""
    stop = options.get("stop")
    fields = {**options, "model": model, "messages": (), "stop": [stop] if isinstance(stop, str) else stop or ()}
    try:
        return msgspec.convert(fields, ModelRequest)
    except msgspec.ValidationError as error:
        raise InputError(f"An option of the request is invalid: {error}") from error


def estimate_prompt(
    payload: dict[str, Any], stored: Sequence[StoredMessage], *, window: int | None, at_most: bool = False
) -> int:
    """Estimate the input tokens of a chat job for a model with this window; 0 if its payload is invalid. With `at_most`, a
    window that isn't known yet may hold all that is stored: the provider may name it before the call."""
    try:
        run = read_chat("", payload, stored)
        may_be_shown = run.messages if at_most and window is None else run.shown(run.messages, window)
        return estimate_input(may_be_shown)
    except InputError:
        return 0


async def run_chat(
    provider: Provider,
    run: ChatRun,
    emit: Callable[[Event], None],
    *,
    window: int | None = None,
    own_key: bool = False,
) -> None:
    """Answer one chat, emitting its events as they happen; the last two are MessageCompleted and UsageRecorded. `own_key`: the
    provider is called with the tenant's own key.

    Raises ProviderError. Cancelling the task closes the provider's connection.
    """
    request = read_options(run.model.partition("/")[2], run.options)
    if request.completion is not None:
        provider = AnyCompletion(provider, window)
    else:
        provider = with_window(NativeOrPromptedTools(provider) if request.tools else provider, window)
    mark = DataMark.new()
    shown = [with_file_texts(message, mark) for message in run.shown(run.messages, window)]
    await answer(Question(shown, provider, request, run.model, emit, own_key))
