"""How all kinds with an endpoint call it: through the egress guard, with the row's headers and a token, both redacted from the
response.

A job token (`workers/job_tokens.py`) is sent as `Authorization: Bearer` unless the row has an Authorization header or sets
`pass_caller_token: false`. With `authorization: identity_provider` it is the caller's own token, if the tenant's identity
provider issued it; a caller without one is refused. A token that headrace issued to a person never leaves.
"""

import hashlib
import json
import re
from dataclasses import dataclass, field
from typing import Any, Literal

import httpx2
import msgspec

from schema.errors import InputError
from schema.tracing.spans import trace_headers
from tools.arguments import is_too_deep
from tools.configured.definition import ToolDefinition
from tools.configured.endpoints import Endpoint, check_egress, parse_endpoint
from tools.configured.headers import (
    check_headers,
    fill_headers,
    has_authorization,
    job_authorization,
    provider_authorization,
    redact,
)
from tools.configured.kind import Secrets
from tools.configured.responses import check_pointer, resolve_pointer
from tools.configured.templates import reject_lone_surrogates
from tools.contract import ToolContext
from tools.egress import EgressPolicy
from tools.errors import ToolUnavailable
from tools.http_calls import check_status, read_json

HEADER_SAFE_ID = re.compile(r"[\x21-\x7e]{1,200}")
MAX_DEPTH = 64


class WebConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Config of all kinds with an endpoint. `pass_caller_token`: whether to send a token that says for whom the job works
    (null: unless the row sets Authorization), `authorization`: which. `result` is a JSON pointer to the relevant part of the
    response."""

    pass_caller_token: bool | None = None
    authorization: Literal["job", "identity_provider"] = "job"
    result: str = ""


@dataclass(frozen=True)
class WebCall:
    """A row's endpoint and headers, ready to be called."""

    definition: ToolDefinition
    config: WebConfig
    endpoint: Endpoint
    secrets: Secrets = field(repr=False)

    @property
    def service(self) -> str:
        return f"The service behind {self.definition.name}"

    async def send(
        self, method: str, url: str, context: ToolContext, headers: dict[str, str] | None = None, **content: Any
    ) -> Any:
        """Return the JSON of the response, None if it is empty. `content` is httpx2's `json`, `content` or `files`. Raises
        ToolFailed and egress errors."""
        reject_lone_surrogates(content.get("json"))
        headers_to_send, sensitive = fill_headers(self.definition.headers, self.secrets)
        if self.passes_token:
            token = await self._token(context, url)
            headers_to_send, sensitive = (
                {**headers_to_send, **({"authorization": f"Bearer {token}"} if token else {})},
                [*sensitive, token or ""],
            )
        names = {name.lower() for name in headers_to_send}
        defaults = {"accept": "application/json", **(headers or {}), **trace_headers()}
        sent = {name: value for name, value in defaults.items() if name not in names} | headers_to_send
        response = await context.fetch.request(method, url, headers=sent, **content)
        check_status(_redact_error(response, sensitive), self.service)
        return redact(_read_value(response, self.service), sensitive)

    async def _token(self, context: ToolContext, url: str) -> str | None:
        name = self.definition.name
        if self.config.authorization == "identity_provider":
            return await provider_authorization(context, tool=name)
        return await job_authorization(context, url, wanted=bool(self.config.pass_caller_token), tool=name)

    def result(self, value: Any) -> Any:
        """The relevant part of a response. Raises ToolUnavailable."""
        return resolve_pointer(value, self.config.result, self.service) if self.config.result else value

    @property
    def passes_token(self) -> bool:
        return passes_token(self.definition, self.config)


def passes_token(definition: ToolDefinition, config: WebConfig) -> bool:
    """Whether a token is sent."""
    if config.authorization == "identity_provider":
        return config.pass_caller_token is not False
    return not has_authorization(definition.headers) if config.pass_caller_token is None else config.pass_caller_token


def check_web_config(definition: ToolDefinition, config: WebConfig, policy: EgressPolicy) -> Endpoint:
    """Return the parsed endpoint. Raises InputError for an unusable endpoint, header or pointer."""
    endpoint = parse_endpoint(definition.endpoint or "")
    check_egress(endpoint, policy)
    if config.authorization == "identity_provider" and config.pass_caller_token is False:
        raise InputError(
            "config.authorization says which token to send, and config.pass_caller_token that none is. Leave one out.",
            field="config.authorization",
        )
    check_headers(definition.headers, with_token=passes_token(definition, config))
    check_pointer(config.result)
    for name in sorted(endpoint.names):
        if name not in definition.properties:
            raise InputError(f"endpoint uses {{{name}}}, which is not in parameters.properties.", field="endpoint")
        if not definition.always_has_value(name):
            raise InputError(
                f"endpoint uses {{{name}}}, so it must be in parameters.required or have a default.", field="endpoint"
            )
    return endpoint


def build_call(definition: ToolDefinition, config: WebConfig, secrets: Secrets) -> WebCall:
    """The call of a validated row."""
    return WebCall(definition, config, parse_endpoint(definition.endpoint or ""), secrets)


def idempotency_header(context: ToolContext) -> dict[str, str]:
    """The header by which a service recognizes a repeated call: the call's id, hashed if it is not valid in a header."""
    id = context.call_id
    key = id if HEADER_SAFE_ID.fullmatch(id) else hashlib.sha256(id.encode("utf-8", "replace")).hexdigest()
    return {"idempotency-key": key}


def _redact_error(response: httpx2.Response, sensitive: list[str]) -> httpx2.Response:
    """An error response with secrets redacted, before its message is truncated: half a key would not be found."""
    if response.is_success:
        return response
    try:
        value = json.loads(response.content)
    except (ValueError, RecursionError):
        return response  # non-JSON responses are not quoted
    redacted = None if is_too_deep(value, MAX_DEPTH) else redact(value, sensitive)
    return httpx2.Response(response.status_code, json=redacted)


def _read_value(response: httpx2.Response, service: str) -> Any:
    value = read_json(response, service) if response.content.strip() else None
    if is_too_deep(value, MAX_DEPTH):
        raise ToolUnavailable(f"{service} returned JSON nested more than {MAX_DEPTH} levels deep.")
    return value
