"""Every option of a request, for every protocol: what doesn't change what is sent is named as ignored, and nothing else is."""

import json
from typing import Any

import msgspec
import pytest

from graphs.messages import ignored_in_messages
from graphs.providers.anthropic.model_facts import facts_by_name
from graphs.providers.anthropic.request_body import build_body
from graphs.providers.cohere import request as cohere
from graphs.providers.contract import Message, ModelRequest
from graphs.providers.extras import MESSAGE_FIELDS
from graphs.providers.google import request as google
from graphs.providers.ignored import KEPT_HERE, ignored_options
from graphs.providers.ollama import wire_format as ollama
from graphs.providers.openai import chat_request, responses_request
from graphs.providers.openai.vendors import VENDORS
from graphs.runner import read_options
from schema.errors import ProviderError

TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {"a": {}}}}}
NAMED = {"type": "function", "function": {"name": "look"}}
SOME = {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [NAMED]}}
SCHEMA = {"type": "json_schema", "json_schema": {"name": "s", "schema": {"type": "object", "properties": {"a": {}}}}}

OPTIONS: dict[str, list[Any]] = {
    "temperature": [0.3],
    "top_p": [0.5],
    "max_tokens": [9],
    "stop": [["\n"]],
    "seed": [7],
    "presence_penalty": [0.5],
    "frequency_penalty": [0.5],
    "tools": [[TOOL]],
    "tool_choice": ["required", "none", NAMED, SOME],
    "parallel_tool_calls": [False],
    "response_format": [SCHEMA, {"type": "json_object"}],
    "reasoning_effort": ["low", "none"],
}
EXTRAS: dict[str, Any] = {
    "user": "u",
    "metadata": {"case": "7"},
    "store": True,
    "service_tier": "flex",
    "prediction": {"type": "content", "content": "x"},
    "verbosity": "low",
    "safety_identifier": "s",
    "prompt_cache_key": "k",
    "prompt_cache_retention": "24h",
    "logit_bias": {"50256": -100},
    "web_search_options": {"search_context_size": "low"},
    "logprobs": True,
    "top_logprobs": 3,
    "top_k": 5,
    "min_p": 0.1,
    "num_ctx": 64,
    "keep_alive": "5m",
    "think": True,
    "thinking": {"type": "enabled", "budget_tokens": 1024},
    "options": {"num_ctx": 64},
    "google": {"safety_settings": []},
    "documents": ["d"],
    "cache_control": {"type": "ephemeral"},
    "anthropic_beta": ["b"],
    "chat_template_kwargs": {"enable_thinking": False},
    "guided_json": {},
    "raw": True,
}
"""Parameters that OpenAI's API has besides, and those that clients know of other servers."""

MODELS = (
    *("anthropic/claude-sonnet-4-5", "anthropic/claude-opus-5", "anthropic/claude-3-5-haiku-latest"),
    *("google/gemini-2.5-flash", "google/gemini-3-pro", "google/gemini-2.0-flash"),
    *(
        "cohere/command-a-03-2025",
        "ollama/llama3.2:3b",
        "openai/gpt-5-pro",
        "openai/gpt-5-mini",
        "mistral/mistral-large",
    ),
)
CASES = [
    (model, name, value)
    for model in MODELS
    for name, value in [
        *((name, value) for name, values in OPTIONS.items() for value in values),
        *EXTRAS.items(),
    ]
]


def sent(model: str, options: dict[str, Any]) -> Any:
    """What goes out for a request with these options; the sentence of a refusal."""
    provider, _, name = model.partition("/")
    request = read_options(name, options)
    request = msgspec.structs.replace(request, messages=(Message.of("user", "hi"),))
    try:
        return body(provider, request)
    except ProviderError as refused:
        return refused.message


def body(provider: str, request: ModelRequest) -> Any:
    match provider:
        case "anthropic":
            built = build_body(request, facts_by_name(request.model))
            return built.fields, built.betas
        case "google":
            return json.loads(google.request_body(request))
        case "cohere":
            return json.loads(cohere.request_body(request))
        case "ollama":
            return json.loads(ollama.request_body(request))
        case _ if VENDORS[provider].needs_responses(request.model):
            return json.loads(responses_request.request_body(request, VENDORS[provider]))
        case _:
            return json.loads(chat_request.request_body(request, VENDORS[provider]))


@pytest.mark.parametrize(("model", "name", "value"), CASES, ids=lambda value: json.dumps(value)[:40])
def test_what_has_no_effect_is_named(model: str, name: str, value: Any) -> None:
    base: dict[str, Any] = {"tools": [TOOL]} if name in ("tool_choice", "parallel_tool_calls") else {}
    given = base | ({name: value} if name in OPTIONS else {"extra": {name: value}})
    has_effect = sent(model, base) != sent(model, given) or name in KEPT_HERE
    assert ([] if has_effect else [name]) == ignored(model, given)


def ignored(model: str, options: dict[str, Any]) -> list[str]:
    provider, _, name = model.partition("/")
    by_responses = provider in VENDORS and VENDORS[provider].needs_responses(name)
    return ignored_options(model, options, by_responses=by_responses)


ODD, MARK_OF_ODD = "of_nobody", "a-mark"
NESTED: list[tuple[str, Any]] = [
    ("tools", [{**TOOL, ODD: MARK_OF_ODD}]),
    ("tools.function", [{**TOOL, "function": {**TOOL["function"], ODD: MARK_OF_ODD}}]),
    ("tool_choice", {**NAMED, ODD: MARK_OF_ODD}),
    ("tool_choice.function", {**NAMED, "function": {**NAMED["function"], ODD: MARK_OF_ODD}}),
    ("tool_choice.allowed_tools", {**SOME, "allowed_tools": {**SOME["allowed_tools"], ODD: MARK_OF_ODD}}),
    ("response_format", {**SCHEMA, ODD: MARK_OF_ODD}),
    ("response_format.json_schema", {**SCHEMA, "json_schema": {**SCHEMA["json_schema"], ODD: MARK_OF_ODD}}),
]


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(("path", "value"), NESTED, ids=[path for path, _ in NESTED])
def test_what_an_option_has_within_arrives_or_is_named(model: str, path: str, value: Any) -> None:
    name = path.partition(".")[0]
    options = {"tools": [TOOL], name: value}
    arrives = MARK_OF_ODD in json.dumps(sent(model, options))
    assert ([] if arrives else [f"{path}.{ODD}"]) == ignored(model, options)


MESSAGES: list[dict[str, Any]] = [
    {"role": "user", "name": "ann", "content": [{"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}]},
    {
        "role": "assistant",
        "content": None,
        "item_phase": "commentary",
        "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}, "extra_content": {}}
        ],
    },
    {"role": "tool", "tool_call_id": "c1", "content": "x", "headrace_vendor": "google", "of_google": 1},
    {
        "role": "user",
        "content": [{"type": "image_url", "image_url": {"url": "https://x/y.png", "detail": "high", "odd": 1}}],
    },
]
PHASE, NAME, MARK = "messages.phase", "messages.name", "messages.content.cache_control"
CLOSE, SIGNED = "messages.content.image_url.detail", "messages.tool_calls.extra_content"
WITHIN = "messages.content.image_url.odd"


@pytest.mark.parametrize(
    ("provider", "expected"),
    [
        ("openai", [PHASE]),
        ("mistral", [PHASE]),
        ("responses", [MARK, WITHIN, NAME, SIGNED]),
        ("anthropic", [CLOSE, WITHIN, NAME, PHASE, SIGNED]),
        ("google", [MARK, CLOSE, WITHIN, NAME, PHASE]),
        ("cohere", [MARK, WITHIN, NAME, PHASE, SIGNED]),
        ("ollama", [MARK, CLOSE, WITHIN, NAME, PHASE, SIGNED]),
        ("langchain", [PHASE, SIGNED]),
    ],
)
def test_what_messages_carry_for_nobody_is_named(provider: str, expected: list[str]) -> None:
    assert expected == ignored_in_messages(MESSAGES, MESSAGE_FIELDS.get(provider))


def test_a_model_that_thinks_is_not_told_how_to_choose_its_words() -> None:
    sampling: dict[str, Any] = {"temperature": 0.3, "top_p": 0.5, "extra": {"top_k": 5}}
    assert [] == ignored("anthropic/claude-sonnet-4-5", sampling)
    thinking = sampling | {"reasoning_effort": "low", "max_tokens": 8000}
    assert ["temperature", "top_k", "top_p"] == ignored("anthropic/claude-sonnet-4-5", thinking)


def test_what_ollama_takes_for_texts_only_is_named_in_chats() -> None:
    options: dict[str, Any] = {"extra": {"raw": True, "template": "x"}}
    assert ["raw", "template"] == ignored("ollama/llama3.2:3b", options)
    assert [] == ignored("ollama/llama3.2:3b", options | {"completion": {"prompt": "x"}})
