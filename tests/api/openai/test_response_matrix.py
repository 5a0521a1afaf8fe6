"""Every field of what the `openai` package's methods return: a model server says it, and the client gets it as it was said,
streamed or not. What differs is explained here, and in `docs/api.md`."""

import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from openai.types import Completion
from openai.types.chat import ChatCompletion
from openai.types.responses import Response

from tests.api.conftest import Running
from tests.api.openai.response_fields import example, leaves
from tests.counterparts.raw_server import RawAnswer, raw_chunks

ROOT = Path(__file__).parents[3]
Json = dict[str, Any]
COUNTS = {
    "prompt_tokens": 20,
    "completion_tokens": 9,
    "total_tokens": 29,
    "prompt_tokens_details.cached_tokens": 16,
    "prompt_tokens_details.cache_write_tokens": 3,
    "completion_tokens_details.reasoning_tokens": 5,
}
OF_USAGE = {f"usage.{name}": count for name, count in COUNTS.items()}
GIVEN: dict[str, Json] = {
    "chat.completions": {
        **OF_USAGE,
        "choices.index": 0,
        "choices.finish_reason": "tool_calls",
        "choices.message.function_call": None,
    },
    "completions": {
        **OF_USAGE,
        "choices.index": 0,
        "choices.finish_reason": "length",
        "choices.text": "tok",
        "choices.logprobs": {
            "text_offset": [0],
            "token_logprobs": [-0.5],
            "tokens": ["tok"],
            "top_logprobs": [{"x": -1.0}],
        },
    },
    "responses": {
        **{"error": None, "incomplete_details": None, "instructions": None, "conversation": None, "prompt": None},
        **{"status": "completed", "output.status": "completed", "tools": [], "background": False},
        "usage": {
            "input_tokens": 20,
            "input_tokens_details": {
                "cached_tokens": 16,
                "cache_write_tokens": 3,
                "cache_write_tokens_details": {"ttl_12h_tokens": 1, "ttl_30m_tokens": 2},
            },
            "output_tokens": 9,
            "output_tokens_details": {"reasoning_tokens": 5},
            "total_tokens": 29,
        },
    },
}
TYPES = {"chat.completions": ChatCompletion, "completions": Completion, "responses": Response}

AS_SENT = "As in the request: it is headrace's client that asked."
OURS = "Headrace's own."
NAMED = "With the provider's name before it."
DEVIATIONS: dict[str, dict[str, str]] = {
    "chat.completions": {
        "id": OURS,
        "created": OURS,
        "model": NAMED,
        "choices.message.function_call": "Told as a tool call, which has taken its place.",
    },
    "completions": {"id": OURS, "created": OURS, "model": NAMED},
    "responses": {
        **{"id": OURS, "created_at": OURS, "completed_at": OURS, "output.id": OURS, "model": NAMED},
        "error": "Of a failed response: headrace's code and sentence, in which the provider's is.",
        "incomplete_details": "Of an incomplete one: why, as headrace's job says.",
        "output.content.logprobs": "Responses have no logprobs here.",
        "prompt": "No templates are stored.",
        **dict.fromkeys(
            (
                *("instructions", "metadata", "parallel_tool_calls", "temperature", "tool_choice", "tools", "top_p"),
                *("background", "conversation", "max_output_tokens", "max_tool_calls", "previous_response_id"),
                *("prompt_cache_key", "prompt_cache_options", "prompt_cache_retention", "reasoning", "text"),
                *("safety_identifier", "top_logprobs", "truncation", "user"),
            ),
            AS_SENT,
        ),
    },
}
"""By method: fields that a client doesn't get as the model server said them, with all within, and why."""


def said(method: str) -> Json:
    return example(TYPES[method], GIVEN[method])


def answer(method: str) -> RawAnswer:
    """What the model server sends: all of it, in pieces."""
    whole = said(method)
    if method == "responses":
        return RawAnswer(tuple(_events(whole)))
    choice, head = whole["choices"][0], {k: v for k, v in whole.items() if k not in ("choices", "usage", "moderation")}
    if method == "completions":
        return raw_chunks({**head, "choices": [choice]}, {**head, "choices": [], "usage": whole["usage"]})
    head["object"] = "chat.completion.chunk"
    message, audio = choice["message"], choice["message"]["audio"]
    calls = [{**call, "index": index} for index, call in enumerate(message["tool_calls"])]
    deltas = [
        ({"content": message["content"]}, {"content": choice["logprobs"]["content"]}),
        ({"refusal": message["refusal"]}, {"refusal": choice["logprobs"]["refusal"]}),
        ({"audio": {"id": audio["id"], "data": audio["data"][:3]}}, None),
        ({"audio": {"id": audio["id"], "data": audio["data"][3:], "transcript": audio["transcript"]}}, None),
        ({"audio": {"expires_at": audio["expires_at"]}, "annotations": message["annotations"]}, None),
        ({"tool_calls": calls}, None),
    ]
    chunks = [{**head, "choices": [{"index": 0, "delta": delta, "logprobs": told}]} for delta, told in deltas]
    end = {**head, "choices": [{"index": 0, "delta": {}, "finish_reason": choice["finish_reason"]}]}
    return raw_chunks(*chunks, end, {**head, "choices": [], "usage": whole["usage"], "moderation": whole["moderation"]})


def _events(response: Json) -> list[bytes]:
    item = response["output"][0]
    begun = {**response, "status": "in_progress", "output": [], "usage": None}
    at = {"item_id": item["id"], "output_index": 0, "content_index": 0}
    events = [
        {"type": "response.created", "response": begun},
        {"type": "response.output_item.added", "output_index": 0, "item": {**item, "content": []}},
        {"type": "response.output_text.delta", **at, "delta": item["content"][0]["text"], "logprobs": []},
        {"type": "response.output_item.done", "output_index": 0, "item": item},
        {"type": "response.completed", "response": response},
    ]
    return [f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in events]


ASKING: dict[str, tuple[str, Json]] = {
    "chat.completions": (
        "/v1/chat/completions",
        {"messages": [{"role": "user", "content": "hi"}], "logprobs": True, "moderation": {"model": "m"}},
    ),
    "completions": ("/v1/completions", {"prompt": "hi", "logprobs": 1}),
    "responses": ("/v1/responses", {"input": "hi"}),
}
MODELS = {"responses": "responding"}


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("method", TYPES)
async def test_what_a_model_server_says_reaches_the_client(running: Running, method: str, streamed: bool) -> None:
    model = f"{MODELS.get(method, 'whole')}-{uuid4().hex[:8]}"
    running.models.answer_with(lambda body: answer(method), model=model)
    path, body = ASKING[method]
    options = {"stream_options": {"include_usage": True}} if method != "responses" else {}
    sent = {**body, "model": f"openai/{model}", **({"stream": True, **options} if streamed else {})}
    got = await running.http.post(path, json=sent)
    assert 200 == got.status_code, got.text
    whole = whole_of(method, got.text) if streamed else got.json()
    expected = [leaf for leaf in leaves(said(method)) if not is_explained(method, leaf[0]) and leaf[1] is not None]
    assert len(expected) > 15
    found = list(leaves(whole))
    assert [] == [leaf for leaf in expected if leaf not in found], got.text


def is_explained(method: str, path: str) -> bool:
    return any(path == name or path.startswith(f"{name}.") for name in DEVIATIONS[method])


def whole_of(method: str, text: str) -> Json:
    """What a client puts together from a stream."""
    events = [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: {")]
    if method == "responses":
        return events[-1]["response"]
    whole: Json = {"choices": [{}]}
    choice = whole["choices"][0]
    for event in events:
        whole |= {name: value for name, value in event.items() if name != "choices"}
        for told in event["choices"]:
            delta = told.pop("delta", {})
            if method == "completions":
                choice |= {name: value for name, value in told.items() if value not in (None, "")}
                continue
            message = choice.setdefault("message", {})
            message |= {name: value for name, value in delta.items() if value not in (None, "")}
            logprobs = choice.setdefault("logprobs", {})
            logprobs |= {name: value for name, value in (told.pop("logprobs") or {}).items() if value}
            choice |= {name: value for name, value in told.items() if value is not None}
    if method == "chat.completions":
        whole |= {"object": "chat.completion"}
    return whole


@pytest.mark.parametrize("method", TYPES)
def test_each_deviation_is_one_of_the_package(method: str) -> None:
    paths = [path for path, _ in leaves(example(TYPES[method], {}))]
    assert [] == [name for name in DEVIATIONS[method] if not any(f"{path}.".startswith(f"{name}.") for path in paths)]


def test_each_deviation_is_documented() -> None:
    """After a change, write them anew with `python -m tests.api.openai.test_response_matrix`."""
    assert deviations() in (ROOT / "docs" / "api.md").read_text()


def deviations() -> str:
    """The table of `docs/api.md`."""
    lines = ["| answers of | field | what differs |", "|---|---|---|"]
    for method, explained in DEVIATIONS.items():
        for why in dict.fromkeys(explained.values()):
            names = ", ".join(f"`{name}`" for name, one in explained.items() if one == why)
            lines.append(f"| `{method}` | {names} | {why} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    page = ROOT / "docs" / "api.md"
    rows = page.read_text().splitlines(keepends=True)
    start = next(i for i, row in enumerate(rows) if row.startswith("| answers of |"))
    end = next(i for i in range(start, len(rows)) if not rows[i].startswith("|"))
    page.write_text("".join([*rows[:start], deviations(), *rows[end:]]))
