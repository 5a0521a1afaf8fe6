"""The one way in which kinds with an address call it: through the egress guard, with the row's headers and the caller's
token, and with neither of them in what comes back.

The caller's own JWT goes into `Authorization: Bearer` unless the row has an Authorization header or says
`pass_caller_token: false`. A caller with an API key has none: the call then goes without, or is refused where the row says
`pass_caller_token: true`.
"""

import hashlib
import json
import re
from dataclasses import dataclass, field
from typing import Any

import httpx2
import msgspec

from schema.errors import InputError
from tools.arguments import too_deep
from tools.configured.answers import at_pointer, check_pointer
from tools.configured.definition import ToolDefinition
from tools.configured.endpoints import Endpoint, check_reach, parse_endpoint
from tools.configured.headers import (
    caller_authorization,
    check_headers,
    filled_headers,
    has_authorization,
    hide,
)
from tools.configured.kind import Secrets
from tools.configured.templates import refuse_halves
from tools.contract import ToolContext
from tools.egress import EgressPolicy
from tools.errors import ToolUnavailable
from tools.http_calls import check_status, read_json

PLAIN_ID = re.compile(r"[\x21-\x7e]{1,200}")
MAX_DEPTH = 64


class WebConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What all kinds with an address may say. `result` is a JSON pointer to the part of the answer that counts."""

    pass_caller_token: bool | None = None
    result: str = ""


@dataclass(frozen=True)
class WebCall:
    """A row's address and headers, ready to be called."""

    definition: ToolDefinition
    config: WebConfig
    endpoint: Endpoint
    secrets: Secrets = field(repr=False)

    @property
    def service(self) -> str:
        return f"The service behind {self.definition.name}"

    async def send(
        self, method: str, address: str, context: ToolContext, headers: dict[str, str] | None = None, **content: Any
    ) -> Any:
        """Return the JSON of the answer, None for an empty one. `content` is httpx2's `json`, `content` or `files`. Raises
        ToolFailed and the guard's errors."""
        refuse_halves(content.get("json"))
        own, hidden = filled_headers(self.definition.headers, self.secrets)
        if self.passes_token:
            wanted = bool(self.config.pass_caller_token)
            token = await caller_authorization(context, wanted=wanted, tool=self.definition.name)
            own, hidden = {**own, **({"authorization": f"Bearer {token}"} if token else {})}, [*hidden, token or ""]
        names = {name.lower() for name in own}
        ours = {"accept": "application/json", **(headers or {})}
        sent = {name: value for name, value in ours.items() if name not in names} | own
        answer = await context.fetch.request(method, address, headers=sent, **content)
        check_status(_covered(answer, hidden), self.service)
        return hide(_value(answer, self.service), hidden)

    def result(self, value: Any) -> Any:
        """The part of an answer that counts. Raises ToolUnavailable."""
        return at_pointer(value, self.config.result, self.service) if self.config.result else value

    @property
    def passes_token(self) -> bool:
        return passes_token(self.definition, self.config)


def passes_token(definition: ToolDefinition, config: WebConfig) -> bool:
    """Whether the caller's token goes along."""
    return not has_authorization(definition.headers) if config.pass_caller_token is None else config.pass_caller_token


def check_web(definition: ToolDefinition, config: WebConfig, policy: EgressPolicy) -> Endpoint:
    """Return the parsed address. Raises InputError for an address, a header or a pointer that can't be used."""
    endpoint = parse_endpoint(definition.endpoint or "")
    check_reach(endpoint, policy)
    check_headers(definition.headers, with_token=passes_token(definition, config))
    check_pointer(config.result)
    for name in sorted(endpoint.names):
        if name not in definition.properties:
            raise InputError(f"endpoint uses {{{name}}}, which is not in parameters.properties.", field="endpoint")
        if not definition.is_always_there(name):
            raise InputError(
                f"endpoint uses {{{name}}}, so it must be in parameters.required or have a default.", field="endpoint"
            )
    return endpoint


def open_call(definition: ToolDefinition, config: WebConfig, secrets: Secrets) -> WebCall:
    """The call of a row that has been checked."""
    return WebCall(definition, config, parse_endpoint(definition.endpoint or ""), secrets)


def once_only(context: ToolContext) -> dict[str, str]:
    """The header by which a service knows a call that comes again: the call's id, hashed where HTTP can't carry it."""
    id = context.call_id
    key = id if PLAIN_ID.fullmatch(id) else hashlib.sha256(id.encode("utf-8", "replace")).hexdigest()
    return {"idempotency-key": key}


def _covered(answer: httpx2.Response, hidden: list[str]) -> httpx2.Response:
    """An answer that tells of an error, without secrets: before its explanation is cut, since half a key is not found."""
    if answer.is_success:
        return answer
    try:
        value = json.loads(answer.content)
    except (ValueError, RecursionError):
        return answer  # what is not JSON is not quoted
    covered = None if too_deep(value, MAX_DEPTH) else hide(value, hidden)
    return httpx2.Response(answer.status_code, json=covered)


def _value(answer: httpx2.Response, service: str) -> Any:
    value = read_json(answer, service) if answer.content.strip() else None
    if too_deep(value, MAX_DEPTH):
        raise ToolUnavailable(f"{service} answered with JSON that is nested more than {MAX_DEPTH} levels deep.")
    return value
