"""How Anthropic's operations are called; of their fields, only the model names something that a tenant has."""

from collections.abc import Iterator

from tests.isolation.call_shapes import Call, thing, word

MARK = ("cache_control.type", "cache_control.ttl")
TEXT = ("text", *MARK)
SOURCE = (
    *("source", "source.type", "source.media_type", "source.data", "source.url", "source.content", "source.file_id"),
    *(f"source.content[].{field}" for field in TEXT),
)
SHOWN = (*TEXT, *SOURCE, "title", "context")
BLOCK = ("content", *SHOWN, "thinking", "signature", "data", "id", "name", "input", "tool_use_id")


def _prompt() -> Iterator[str]:
    yield from (
        "system",
        "tools[]",
        "tool_choice.name",
        "thinking",
        "output_config",
        "context_management",
        "mcp_servers",
    )
    yield from MARK
    yield "messages[].content"
    for place, fields in (
        ("system[]", TEXT),
        ("messages[].content[]", BLOCK),
        ("messages[].content[].content[]", (*SHOWN, "tool_name")),
        ("messages[].content[].content[].content[]", TEXT),
    ):
        yield from (f"{place}.{field}" for field in fields)


COUNTED_PLAIN = " ".join(f"body.{field}" for field in _prompt())
MESSAGE_PLAIN = f"""{COUNTED_PLAIN} body.metadata body.service_tier body.container body.inference_geo body.speed body.thread
  body.stop_sequences[]"""

CALLS = {
    "POST /v1/messages": Call(
        "chat",
        {"body.model": word("model")},
        MESSAGE_PLAIN,
        {"body.max_tokens": 9, "body.messages": [{"role": "user", "content": "hi"}]},
        504,  # it is taken, and nobody works here
    ),
    "POST /v1/messages/count_tokens": Call(
        "chat", {"body.model": word("model")}, COUNTED_PLAIN, {"body.messages": [{"role": "user", "content": "hi"}]}
    ),
    "POST /v1/messages/batches": Call(
        "chat",
        plain="body.requests[].custom_id body.requests[].params",
        send={"body.requests[]": {"custom_id": "a", "params": {"model": "auto", "max_tokens": 5, "messages": []}}},
    ),
    "GET /v1/messages/batches": Call("jobs.read", plain="query.after_id query.before_id"),
    "GET /v1/messages/batches/{batch_id}": Call("jobs.read", {"path.batch_id": thing("batch of messages")}),
    "GET /v1/messages/batches/{batch_id}/results": Call(
        "jobs.read", {"path.batch_id": thing("batch of messages")}, gets=400
    ),
    "POST /v1/messages/batches/{batch_id}/cancel": Call("jobs.write", {"path.batch_id": thing("batch of messages")}),
    "DELETE /v1/messages/batches/{batch_id}": Call(
        "jobs.write", {"path.batch_id": thing("batch of messages")}, gets=400
    ),
}
"""The rows of the table."""
