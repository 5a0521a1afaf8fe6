"""Finds what went wrong in what vendors send: their sentence and their code, in any of the shapes that were seen."""

from typing import Any, cast

import msgspec

from graphs.providers.answers.json_payloads import read_json
from schema.errors import ProviderError

_ERROR_FIELDS = ("error", "errors", "detail", "error_code", "error_msg", "error_message", "err_code", "err_msg")
_MESSAGE_FIELDS = ("message", "msg", "error_msg", "error_message", "err_msg", "status_msg", "detail", "reason", "title")
_CODE_FIELDS = ("code", "type", "error_code", "error_type", "err_code", "status_code", "status")
_SUCCESS = (None, 0, 200, "0", "200", "", "success", "ok")
MAX_NESTING = 4


def find_error(body: Any) -> Any | None:  # noqa: PLR0911 -- one return per shape
    """Return the error that a body is, or contains; None if it is none. For bodies that hold no part of an answer."""
    if isinstance(body, list) and body:  # Google's, for OpenAI's clients
        return find_error(cast(list[Any], body)[0])
    if not isinstance(body, dict):
        return None
    fields = cast(dict[str, Any], body)
    if found := fields.get("error"):
        return fields if found is True else fields | {"message": found} if _needs_code(fields, found) else found
    if fields.get("object") == "error" or fields.get("type") == "error" or fields.get("success") is False:
        return fields
    if any(fields.get(name) for name in _ERROR_FIELDS):
        return fields
    state = fields.get("base_resp")  # MiniMax
    if isinstance(state, dict) and cast(dict[str, Any], state).get("status_code") not in _SUCCESS:
        return cast(dict[str, Any], state)
    has_message = any(isinstance(fields.get(name), str) for name in ("message", "msg"))
    return fields if has_message and fields.get("code") not in _SUCCESS else None


def message_and_code(error: Any, depth: int = 0) -> tuple[str, str]:
    """Return the vendor's sentence and code; each may be empty."""
    if isinstance(error, list) and error:
        error = cast(list[Any], error)[0]
    if not isinstance(error, dict):
        return (error if isinstance(error, str) else _as_json(error)), ""
    fields = cast(dict[str, Any], error)
    code = next((str(fields[name]) for name in _CODE_FIELDS if _is_code(fields.get(name))), "")
    inner = fields.get("error") or fields.get("errors")
    message = next((fields[name] for name in _MESSAGE_FIELDS if fields.get(name)), inner)
    if isinstance(message, dict | list) and depth < MAX_NESTING:
        message, inner_code = message_and_code(message, depth + 1)
        code = inner_code or code
    return (message if isinstance(message, str) else _as_json(fields)), code


def code_and_param(error: Any) -> tuple[str, str]:
    """Return the vendor's own code, which is more than a type, and the parameter that it names as wrong; each may be empty."""
    fields = cast(dict[str, Any], error) if isinstance(error, dict) else {}
    code, param = fields.get("code"), fields.get("param")
    return code if isinstance(code, str) else "", param if isinstance(param, str) else ""


def code_and_param_of_body(text: str) -> tuple[str, str]:
    """Return the same of an error body."""
    try:
        return code_and_param(find_error(read_json("", text.encode("utf-8", "replace"))))
    except ProviderError:
        return "", ""


def parse_error_body(text: str) -> tuple[str, str]:
    """Return (message, code) of an error body in any vendor's format, or plain text; HTML gives nothing."""
    if text.lstrip()[:1] not in ("{", "["):
        return ("", "") if text.lstrip().startswith("<") else (_unquoted(text), "")
    try:
        body = read_json("", text.encode("utf-8", "replace"))
    except ProviderError:
        return text, ""
    found = find_error(body)
    return message_and_code(body if found is None else found)


def _needs_code(fields: dict[str, Any], found: Any) -> bool:
    """Whether the error is a text, and its code is beside it."""
    return isinstance(found, str) and any(_is_code(fields.get(name)) for name in _CODE_FIELDS)


def _is_code(value: Any) -> bool:
    return (isinstance(value, str) and value not in ("", "error")) or type(value) is int


def _unquoted(text: str) -> str:
    try:
        found = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return text
    return found if isinstance(found, str) else text


def _as_json(value: Any) -> str:
    try:
        return msgspec.json.encode(value).decode()
    except (msgspec.EncodeError, UnicodeEncodeError, RecursionError):
        return ""
