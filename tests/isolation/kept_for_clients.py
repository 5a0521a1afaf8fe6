"""What clients of OpenAI's API keep here, for the route matrix: files, batches and conversations, and how their operations are
called."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from schema.ids import new_id
from tests.isolation.call_shapes import Call, thing, word

CONVERSATION = {"path.conversation": thing("conversation")}
ITEM = {"path.item_id": "msg_kept"}

TEXT_PLAIN = "body.prompt body.prompt[] body.suffix body.stop body.stop[] body.logit_bias body.user"

CALLS: dict[str, Call] = {
    "POST /v1/completions": Call(
        "chat",
        {"body.model": word("model")},
        TEXT_PLAIN,
        {"body.prompt": "hi"},
        504,
    ),
    "GET /v1/models": Call("models.read", {}, "query.after_id query.before_id"),
    "GET /v1/models/{model_id}": Call("models.read", {"path.model_id": thing("model")}),
    "POST /v1/embeddings": Call(
        "chat",
        {"body.model": word("model")},
        "body.input body.input[] body.user",
        {"body.input": "hi"},
    ),
    "GET /v1/responses/{response_id}": Call("jobs.read", {"path.response_id": thing("job as response")}),
    "DELETE /v1/responses/{response_id}": Call("jobs.write", {"path.response_id": thing("job as response")}),
    "POST /v1/responses/{response_id}/cancel": Call("jobs.write", {"path.response_id": thing("job as response")}),
    "GET /v1/responses/{response_id}/input_items": Call(
        "jobs.read", {"path.response_id": thing("job as response")}, "query.after"
    ),
    "POST /v1/files": Call("documents.write", plain="body.file", send={"file.file": "hi", "body.purpose": "user_data"}),
    "GET /v1/files": Call("documents.read", plain="query.after query.purpose"),
    "GET /v1/files/{file_id}": Call("documents.read", {"path.file_id": thing("file")}),
    "GET /v1/files/{file_id}/content": Call("documents.read", {"path.file_id": thing("file")}, gets=404),
    "DELETE /v1/files/{file_id}": Call("documents.write", {"path.file_id": thing("file")}),
    "POST /v1/batches": Call(
        "chat",
        {"body.input_file_id": thing("file")},
        "body.endpoint body.metadata",
        {"body.endpoint": "/v1/embeddings", "body.completion_window": "24h"},
    ),
    "GET /v1/batches": Call("jobs.read", plain="query.after"),
    "GET /v1/batches/{batch_id}": Call("jobs.read", {"path.batch_id": thing("batch")}),
    "POST /v1/batches/{batch_id}/cancel": Call("jobs.write", {"path.batch_id": thing("batch")}),
    "POST /v1/conversations": Call("chat", plain="body.items[] body.metadata"),
    "GET /v1/conversations/{conversation}": Call("jobs.read", CONVERSATION),
    "POST /v1/conversations/{conversation}": Call(
        "jobs.write", CONVERSATION, "body.metadata", {"body.metadata": {"a": "b"}}
    ),
    "DELETE /v1/conversations/{conversation}": Call("jobs.write", CONVERSATION),
    "POST /v1/conversations/{conversation}/items": Call(
        "chat", CONVERSATION, "body.items[] query.include[][]", {"body.items[]": {"role": "user", "content": "hi"}}
    ),
    "GET /v1/conversations/{conversation}/items": Call("jobs.read", CONVERSATION, "query.after query.include[][]"),
    "GET /v1/conversations/{conversation}/items/{item_id}": Call(
        "jobs.read", CONVERSATION, "path.item_id query.include[][]", ITEM
    ),
    "DELETE /v1/conversations/{conversation}/items/{item_id}": Call("jobs.write", CONVERSATION, "path.item_id", ITEM),
}


def add_conversation(holder: Any) -> str:
    """Add one with an item."""
    conversation_id, said = new_id(), [{"type": "input_text", "text": holder.marker}]
    about = {"metadata": {"about": holder.marker}, "places": 1}
    holder.insert("conversations", id=conversation_id, user_id=holder.user_id, **about)
    item = {"type": "message", "role": "user", "content": said, "id": "msg_kept"}
    holder.insert("conversation_items", conversation_id=conversation_id, place=1, ordinal=1, id="msg_kept", item=item)
    return f"conv_{conversation_id.hex}"


def add_file(holder: Any) -> str:
    """Add one that a client keeps here."""
    file_id, stored_as = new_id(), f"{holder.tenant_id}/{new_id()}"
    about = {"name": holder.marker, "purpose": "batch", "media_type": "text/plain", "size_bytes": 5, "sha256": b"s"}
    holder.insert("files", id=file_id, user_id=holder.user_id, stored_as=stored_as, **about)
    return f"file-{file_id.hex}"


def add_batch(holder: Any) -> str:
    """Add one that goes on, with a line."""
    return f"batch_{_batch(holder, holder.marker).hex}"


def add_message_batch(holder: Any) -> str:
    """Add one of Anthropic's API."""
    return f"msgbatch_{_batch(holder, '/v1/messages').hex}"


def _batch(holder: Any, endpoint: str) -> UUID:
    batch_id, about = UUID(holder.job("running job")), {"created_by": f"user:{holder.user_id or holder.user()}"}
    about |= {"endpoint": endpoint}
    holder.insert("batches", id=batch_id, user_id=holder.user_id, rights=[], input_file_id=new_id(), **about)
    holder.insert("batch_lines", batch_id=batch_id, place=1, custom_id=holder.marker, body="{}")
    return batch_id


KINDS: dict[str, Callable[[Any], str]] = {
    "file": add_file,
    "batch": add_batch,
    "batch of messages": add_message_batch,
    "conversation": add_conversation,
}
"""How each is made."""
