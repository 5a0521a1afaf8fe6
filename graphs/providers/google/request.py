"""A `ModelRequest` as the body of Gemini's `generateContent`.

The names are those of https://ai.google.dev/api/generate-content and of the package `google-genai` 3.6, which the tests run
against the same counterpart.
"""

import re
from typing import Any

import msgspec

from graphs.providers.answers.fields import record, text
from graphs.providers.contract import ModelRequest
from graphs.providers.errors import ProviderRefused
from graphs.providers.google.messages import NAME, system_and_contents

_THINKS = re.compile(r"(models/)?gemini-(2\.5-(pro|flash(?!-lite|-image))|[3-9]|flash-latest|pro-latest)")
_NO_THOUGHTS = re.compile(r"image|tts|audio|live|embed")
_BUDGETS = {"none": 0, "minimal": 512, "low": 1024, "medium": 8192, "high": 24576, "xhigh": 32768}
"""Tokens of thought at Gemini 2.5, by the effort: `low` to `high` are those of Google's OpenAI layer."""
_LEVELS = {"none": "minimal"}  # Gemini 3 can't do without thoughts
_OWN = ("thinking_config", "cached_content", "safety_settings")


def request_body(request: ModelRequest, *, signed: bool = True, think: bool = True) -> bytes:
    """Return the JSON body. `signed` and `think` False leave out signatures and the wish to see thoughts."""
    system, contents = system_and_contents(request.messages, request.model, signed=signed)
    own = record(request.extra, NAME)
    body: dict[str, Any] = {"contents": contents}
    if system:
        body["systemInstruction"] = system
    if request.tools:
        body["tools"] = [{"functionDeclarations": [_declaration(tool) for tool in request.tools]}]
        if calling := _function_calling(request.tool_choice):
            body["toolConfig"] = {"functionCallingConfig": calling}
    if config := _generation_config(request, own, think=think):
        body["generationConfig"] = config
    if "safety_settings" in own:
        body["safetySettings"] = own["safety_settings"]
    if "cached_content" in own:
        body["cachedContent"] = own["cached_content"]
    return msgspec.json.encode(body)


def wants_thoughts(request: ModelRequest) -> bool:
    """Whether the request asks for thoughts only because the model's name says that it thinks."""
    stated = request.reasoning_effort is not None or "thinking_config" in record(request.extra, NAME)
    return not stated and _thinks(request.model)


def _declaration(tool: dict[str, Any]) -> dict[str, Any]:
    function = record(tool, "function")
    if tool.get("type", "function") != "function" or not function:
        raise ProviderRefused(f"{NAME} takes only tools of the type function, not {str(tool.get('type'))[:40]!r}.")
    found = {"name": text(function, "name"), "description": text(function, "description")}
    schema = {name: value for name, value in record(function, "parameters").items() if name != "$schema"}
    return found | {"parametersJsonSchema": schema} if schema else found


def _function_calling(choice: str | dict[str, Any] | None) -> dict[str, Any]:
    match choice:
        case "none" | "auto":
            return {"mode": choice.upper()}
        case "required":
            return {"mode": "ANY"}
        case {"type": "function", "function": {"name": str() as name}}:
            return {"mode": "ANY", "allowedFunctionNames": [name]}
        case {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": list() as tools}}:
            names = [text(tool, "function", "name") for tool in tools]
            return {"mode": "ANY" if mode == "required" else "VALIDATED", "allowedFunctionNames": names}
        case _:
            return {}


def _generation_config(request: ModelRequest, own: dict[str, Any], *, think: bool) -> dict[str, Any]:
    config: dict[str, Any] = {
        "temperature": request.temperature,
        "topP": request.top_p,
        "topK": request.extra.get("top_k"),
        "maxOutputTokens": request.max_tokens,
        "stopSequences": list(request.stop) or None,
        "seed": request.seed,
        "presencePenalty": request.presence_penalty,
        "frequencyPenalty": request.frequency_penalty,
        **_format(request.response_format),
        "thinkingConfig": own.get("thinking_config") or (_thinking(request) if think else None),
    }
    return {name: value for name, value in config.items() if value is not None}


def _format(response_format: dict[str, Any] | None) -> dict[str, Any]:
    match response_format:
        case {"type": "json_schema", "json_schema": {"schema": dict() as schema}}:
            return {"responseMimeType": "application/json", "responseJsonSchema": schema}
        case {"type": "json_object"}:
            return {"responseMimeType": "application/json"}
        case _:
            return {}


def _thinking(request: ModelRequest) -> dict[str, Any] | None:
    effort = request.reasoning_effort
    if effort is None:
        return {"includeThoughts": True} if _thinks(request.model) else None
    shown = {"includeThoughts": True} if effort != "none" else {}
    if re.search(r"gemini-2\.", request.model):
        return {**shown, "thinkingBudget": _BUDGETS.get(effort, -1)}
    return {**shown, "thinkingLevel": _LEVELS.get(effort, effort)}


def _thinks(model: str) -> bool:
    return bool(_THINKS.match(model)) and not _NO_THOUGHTS.search(model)
