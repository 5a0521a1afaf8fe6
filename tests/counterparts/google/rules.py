"""What Gemini's API refuses in a request: the sentences are Google's."""

import re
from typing import Any

GENERATION = frozenset(
    {
        *("temperature", "topP", "topK", "maxOutputTokens", "stopSequences", "seed", "presencePenalty"),
        *("frequencyPenalty", "responseMimeType", "responseSchema", "responseJsonSchema", "thinkingConfig"),
        *("candidateCount", "responseModalities"),
    }
)
TOP = frozenset(
    {"contents", "systemInstruction", "tools", "toolConfig", "generationConfig", "safetySettings", "cachedContent"}
)
PARTS = frozenset({"text", "functionCall", "functionResponse", "inlineData", "fileData", "thoughtSignature", "thought"})
NO_SIGNATURE = "skip_thought_signature_validator"


class Refused(Exception):
    """A request that Google answers with 400 INVALID_ARGUMENT."""


def camel(value: Any) -> Any:
    """A message of proto JSON with the names of its fields in one spelling: Google takes snake_case too, and its own package
    mixes both. Schemas and arguments keep theirs."""
    if isinstance(value, list):
        return [camel(item) for item in value]
    if not isinstance(value, dict):
        return value
    verbatim = {"parametersJsonSchema", "responseJsonSchema", "args", "response"}
    found = {re.sub(r"_([a-z])", lambda m: m[1].upper(), name): inner for name, inner in value.items()}
    return {name: inner if name in verbatim else camel(inner) for name, inner in found.items()}


def check_request(body: dict[str, Any], model: str, signatures: set[str]) -> None:
    """Raise Refused for what Google refuses. `signatures` are those that it gave."""
    _known(body, TOP, "")
    _known(body.get("generationConfig") or {}, GENERATION, " at 'generation_config'")
    contents = body.get("contents")
    if not contents:
        raise Refused("* GenerateContentRequest.contents: contents is not specified")
    for content in contents:
        _check_content(content)
    _check_calls(contents)
    _check_tools(body.get("tools") or [])
    if model.startswith("gemini-3"):
        _check_signatures(contents, signatures)


def _known(value: dict[str, Any], names: frozenset[str], where: str) -> None:
    for name in value.keys() - names:
        raise Refused(f'Invalid JSON payload received. Unknown name "{name}"{where}: Cannot find field.')


def _check_content(content: dict[str, Any]) -> None:
    if content.get("role") not in ("user", "model"):
        raise Refused("Please use a valid role: user, model.")
    if not content.get("parts"):
        raise Refused("* GenerateContentRequest.contents[0].parts: contents.parts must not be empty.")
    for part in content["parts"]:
        _known(part, PARTS, " at 'contents[0].parts[0]'")
        data = part.keys() - {"thought", "thoughtSignature"}
        if len(data) != 1:
            raise Refused("oneof field 'data' is already set. Cannot set another.")
        if "functionResponse" in part and not isinstance(part["functionResponse"].get("response"), dict):
            raise Refused("Invalid value at 'function_response.response' (type.googleapis.com/google.protobuf.Struct)")


def _check_calls(contents: list[dict[str, Any]]) -> None:
    for turn, following in zip(contents, [*contents[1:], None], strict=True):
        calls = [part for part in turn["parts"] if "functionCall" in part]
        results = [p for p in following["parts"] if "functionResponse" in p] if following else []
        if turn["role"] == "model" and len(calls) != len(results):
            raise Refused(
                "Please ensure that the number of function response parts is equal to the number of function call parts of "
                "the function call turn."
            )
        if following and turn["role"] == following["role"] == "model":
            raise Refused("Please ensure that multiturn requests alternate between user and model.")


def _check_tools(tools: list[dict[str, Any]]) -> None:
    for declared in (one for tool in tools for one in tool.get("functionDeclarations", ())):
        if not re.fullmatch(r"[A-Za-z_][\w.:-]{0,127}", declared.get("name", "")):
            raise Refused("Invalid function name. Must start with a letter or an underscore.")
        if "parameters" in declared and "parametersJsonSchema" in declared:
            raise Refused("parameters and parameters_json_schema cannot be set at the same time.")


def _check_signatures(contents: list[dict[str, Any]], given: set[str]) -> None:
    last = max((i for i, c in enumerate(contents) if c["role"] == "user" and "text" in c["parts"][0]), default=0)
    for content in contents[last:]:
        first = next((part for part in content["parts"] if "functionCall" in part), None)
        if first is None:
            continue
        if not (signature := first.get("thoughtSignature")):
            name = first["functionCall"]["name"]
            raise Refused(f"Function call is missing a thought_signature in functionCall parts: default_api:{name}.")
        if signature != NO_SIGNATURE and signature not in given:
            raise Refused("Corrupted thought signature.")
