"""What becomes of each parameter of the `openai` package's methods: what is sent, and what the model server gets.

One row a parameter. Without a deviation, it must arrive as it was sent. `docs/api.md` has the deviations, too. A parameter of a
newer package has no row, and the tests fail until somebody has decided what becomes of it.
"""

from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["same", "becomes", "here", "named", "refused"]
"""`same`: it arrives as it was sent. `becomes`: it arrives as `arrives` says. `here`: headrace itself honours it. `named`: it
has no effect, and `X-Headrace-Ignored` says so. `refused`: 400 with the reason, or 404."""

TOOL = {
    "type": "function",
    "function": {"name": "get_weather", "parameters": {"type": "object", "properties": {"b": {}, "a": {}}}},
}
FLAT_TOOL = {"type": "function", **TOOL["function"]}
NAMED_TOOL = {"type": "function", "function": {"name": "get_weather"}}
SCHEMA = {"name": "s", "schema": {"type": "object", "properties": {"why": {}, "answer": {}}}, "strict": True}
CACHE = {"mode": "auto"}


@dataclass(frozen=True)
class Row:
    """One parameter: the value that is sent, what else the request needs for it, and what becomes of it."""

    sent: Any
    kind: Kind = "same"
    why: str = ""
    arrives: Any = None
    needs: dict[str, Any] | None = None


def becomes(sent: Any, why: str, **arrives: Any) -> Row:
    return Row(sent, "becomes", why, arrives)


def here(sent: Any, why: str, **needs: Any) -> Row:
    return Row(sent, "here", why, needs=needs)


def refused(sent: Any, why: str) -> Row:
    return Row(sent, "refused", why)


def named(sent: Any, why: str) -> Row:
    return Row(sent, "named", why)


SAID = "{said}"
"""What each request says; the tests put in a text of its own."""

FILE, CONVERSATION, RESPONSE = "{file}", "{conversation}", "{response}"
"""Ids of a batch's file, of a conversation and of a response; the tests make them."""
FOR_A_DAY = {"anchor": "created_at", "seconds": 86_400}
ITEMS = [{"type": "message", "role": "user", "content": SAID}]

CHAT: dict[str, Row] = {
    "messages": Row([{"role": "developer", "content": "Be brief."}, {"name": "ann", "role": "user", "content": SAID}]),
    "model": becomes("openai/text-1", "Without the provider's name before it.", model="text-1"),
    "audio": refused({"voice": "alloy", "format": "mp3"}, "Answers have no audio."),
    "frequency_penalty": Row(0.5),
    "function_call": refused("auto", "Deprecated by OpenAI; use `tool_choice`."),
    "functions": refused([TOOL["function"]], "Deprecated by OpenAI; use `tools`."),
    "logit_bias": Row({"50256": -100}),
    "logprobs": Row(True),
    "max_completion_tokens": Row(9),
    "max_tokens": Row(9),
    "metadata": Row({"case": "7"}),
    "modalities": here(["text"], "Text is what every model answers with; anything else is refused."),
    "moderation": Row({"model": "omni-moderation-latest"}),
    "n": Row(2),
    "parallel_tool_calls": Row(False, needs={"tools": [TOOL]}),
    "prediction": Row({"type": "content", "content": "x"}),
    "presence_penalty": Row(0.5),
    "prompt_cache_key": Row("k"),
    "prompt_cache_options": Row(CACHE),
    "prompt_cache_retention": Row("24h"),
    "reasoning_effort": Row("low"),
    "response_format": Row({"type": "json_schema", "json_schema": SCHEMA}),
    "safety_identifier": Row("s"),
    "seed": Row(7),
    "service_tier": Row("flex"),
    "stop": becomes("\n", "A single text is sent as a list of one.", stop=["\n"]),
    "store": Row(False),
    "stream": here(
        False, "The model server is always asked for a stream, whose pieces are put together here.", stream=True
    ),
    "stream_options": here(
        {"include_usage": True}, "Usage is always asked for; the last chunk is sent if it was wanted.", stream=True
    ),
    "temperature": Row(0.3),
    "tool_choice": Row(NAMED_TOOL, needs={"tools": [TOOL]}),
    "tools": Row([TOOL]),
    "top_logprobs": Row(3, needs={"logprobs": True}),
    "top_p": Row(0.5),
    "user": Row("u"),
    "verbosity": Row("low"),
    "web_search_options": Row({"search_context_size": "low"}),
}

EMBEDDINGS: dict[str, Row] = {
    "input": Row([[1, 2], [3]]),
    "model": becomes("openai/text-embedding-3-small", "Without the provider's name.", model="text-embedding-3-small"),
    "dimensions": here(2, "Vectors are shortened here, for models whose vectors can be."),
    "encoding_format": here("base64", "Vectors are fetched as numbers, checked, and encoded here."),
    "user": named("u", "No embedder has a place for it."),
}

RESPONSES: dict[str, Row] = {
    "access_programs": named(["x"], "Unknown to chat completions, which models are asked for."),
    "background": here(False, "The job runs on without its client."),
    "background_options": named({}, "Nothing here depends on it."),
    "context_management": named([{"type": "compaction"}], "Contexts are not compacted."),
    "conversation": here(CONVERSATION, "It goes on with this response; one that is none of yours is a 404."),
    "generate": named(True, "Not in OpenAI's documentation yet."),
    "image": named({"x": 1}, "Answers have no images."),
    "include": here(["reasoning.encrypted_content"], "What there is to include; other names are named."),
    "input": becomes(SAID, "A message of the user.", messages=[{"role": "user", "content": SAID}]),
    "instructions": becomes("Be brief.", "The first message.", first={"role": "system", "content": "Be brief."}),
    "max_output_tokens": becomes(9, "As chat completions call it.", max_tokens=9),
    "max_tool_calls": named(3, "An agent's own limit holds."),
    "metadata": here({"case": "7"}, "Comes back with the response and its job."),
    "model": becomes("openai/text-1", "Without the provider's name before it.", model="text-1"),
    "moderation": named({"model": "m"}, "Nothing is moderated."),
    "parallel_tool_calls": Row(False, needs={"tools": [FLAT_TOOL]}),
    "previous_response_id": here(
        RESPONSE, "The conversation goes on with this response; one that is none of yours is a 404."
    ),
    "prompt": refused({"id": "p"}, "No templates are stored."),
    "prompt_cache_key": Row("k"),
    "prompt_cache_options": Row(CACHE),
    "prompt_cache_retention": Row("24h"),
    "reasoning": becomes({"effort": "low"}, "As chat completions call it.", reasoning_effort="low"),
    "safety_identifier": Row("s"),
    "service_tier": Row("flex"),
    "store": here(False, "What is kept here."),
    "stream": here(False, "The model server is always asked for a stream.", stream=True),
    "stream_id": named("s", "Streams are resumed by the response's id."),
    "stream_options": named({"include_obfuscation": False}, "Streams are not obfuscated."),
    "temperature": Row(0.3),
    "text": becomes({"verbosity": "low"}, "As chat completions call it.", verbosity="low"),
    "tool_choice": Row("required", needs={"tools": [FLAT_TOOL]}),
    "tools": becomes([FLAT_TOOL], "In the shape of chat completions.", tools=[TOOL]),
    "top_logprobs": named(3, "Responses have no logprobs here."),
    "top_p": Row(0.5),
    "truncation": here("auto", "Trimmed here, by the model's window."),
    "user": Row("u"),
}

COMPLETIONS: dict[str, Row] = {
    "prompt": Row([SAID, "and another"]),
    "model": becomes("openai/text-1", "Without the provider's name before it.", model="text-1"),
    "best_of": becomes(2, "Can't be streamed, so the model server isn't asked for a stream.", best_of=2, stream=False),
    "echo": Row(True),
    "frequency_penalty": Row(0.5),
    "logit_bias": Row({"50256": -100}),
    "logprobs": Row(2),
    "max_tokens": Row(9),
    "n": Row(2),
    "presence_penalty": Row(0.5),
    "seed": Row(7),
    "stop": becomes("\n", "A single text is sent as a list of one.", stop=["\n"]),
    "stream": here(False, "The model server is always asked for a stream.", stream=True),
    "stream_options": here(
        {"include_usage": True}, "Usage is always asked for; the last chunk is sent if it was wanted.", stream=True
    ),
    "suffix": Row("the end"),
    "temperature": Row(0.3),
    "top_p": Row(0.5),
    "user": Row("u"),
}


BATCHES: dict[str, Row] = {
    "completion_window": here("24h", "The one that OpenAI has."),
    "endpoint": here("/v1/completions", "Chats, completions, responses and embeddings; others are refused."),
    "input_file_id": here(FILE, "Each line is called as a request of its own."),
    "metadata": here({"case": "7"}, "Comes back with the batch."),
    "output_expires_after": here(FOR_A_DAY, "The files of results go then."),
}
CONVERSATIONS: dict[str, Row] = {
    "items": here(ITEMS, "Kept here, and shown to the model with the next response."),
    "metadata": here({"case": "7"}, "Comes back with the conversation."),
}
CONVERSATION_ITEMS: dict[str, Row] = {
    "conversation_id": here(CONVERSATION, "One of yours."),
    "items": here(ITEMS, "Kept here, and shown to the model with the next response."),
    "include": here(["message.output_text.logprobs"], "Items always have all that is kept of them."),
}

METHODS: dict[str, dict[str, Row]] = {
    "chat.completions.create": CHAT,
    "embeddings.create": EMBEDDINGS,
    "responses.create": RESPONSES,
    "completions.create": COMPLETIONS,
    "batches.create": BATCHES,
    "conversations.create": CONVERSATIONS,
    "conversations.items.create": CONVERSATION_ITEMS,
}
"""Rows by method."""

TRANSPORT = frozenset({"self", "extra_headers", "extra_query", "extra_body", "timeout"})
"""Parameters of the package itself."""
