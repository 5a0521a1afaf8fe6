"""What a job keeps of the request for a response: what the response repeats, and what decides its events.

It is stored as JSON text, because `jsonb` would sort the keys of schemas.
"""

from typing import Any

import msgspec

from api.openai.responses.schemas import ConversationIn, ResponseIn
from api.openai.responses.tools import ModelTools

TEXT_FORMAT: dict[str, Any] = {"format": {"type": "text"}}
NO_REASONING: dict[str, Any] = {"effort": None, "summary": None}


class StoredRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A request, as its response repeats it. `namespaced` are functions by the name that the model knows, as (namespace,
    name). Nobody changes it, so a response's events are a function of it and of the job's events."""

    stream: bool = False
    background: bool = False
    store: bool = True
    previous_response_id: str | None = None
    conversation: str | None = None
    instructions: str | None = None
    include: list[str] = []
    metadata: dict[str, str] = {}
    max_output_tokens: int | None = None
    max_tool_calls: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_logprobs: int | None = None
    parallel_tool_calls: bool = True
    tool_choice: Any = "auto"
    tools: list[dict[str, Any]] = []
    text: dict[str, Any] = {}
    reasoning: dict[str, Any] = {}
    truncation: str = "disabled"
    user: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    prompt_cache_options: Any = None
    prompt_cache_retention: str | None = None
    service_tier: str | None = None
    namespaced: dict[str, tuple[str, str]] = {}

    @property
    def is_whole(self) -> bool:
        """Whether nobody sees the response before it is complete, so that what a lost attempt said is nobody's concern."""
        return not self.stream and not self.background

    @property
    def seals_reasoning(self) -> bool:
        """Whether the client wants reasoning back as a sealed blob."""
        return "reasoning.encrypted_content" in self.include


ECHOED = frozenset(StoredRequest.__struct_fields__) & frozenset(ResponseIn.__struct_fields__)

_decode = msgspec.json.Decoder(StoredRequest).decode


def stored_request(data: ResponseIn, tools: ModelTools) -> StoredRequest:
    """Return what is kept of a request."""
    given = {name: value for name in ECHOED if (value := getattr(data, name)) is not None}
    if isinstance(data.conversation, ConversationIn):
        given["conversation"] = data.conversation.id
    given["text"] = TEXT_FORMAT | {name: value for name, value in (data.text or {}).items() if value is not None}
    given["reasoning"] = NO_REASONING | (data.reasoning or {})
    return StoredRequest(**given, namespaced=tools.namespaced)


def write_request(request: StoredRequest) -> str:
    """Return a request as it is stored."""
    return msgspec.json.encode(request).decode()


def read_request(text: str) -> StoredRequest:
    """Return a stored request."""
    return _decode(text)
