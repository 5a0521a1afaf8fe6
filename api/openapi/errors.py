"""The errors of a route in the OpenAPI document: one response per status, with an example per code."""

from http import HTTPStatus
from typing import Any

import msgspec
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import Example, OpenAPIResponse, Reference

from api.auth.principals import required_right
from api.http.error_catalog import CATALOG
from api.http.errors import FieldErrorOut, ProblemOut, ProblemSpec, documented_status, problems
from api.http.vendor_formats.anthropic_errors import AnthropicErrorResponseOut, is_anthropic
from api.http.vendor_formats.anthropic_errors import error_out as anthropic_error_out
from api.http.vendor_formats.openai_errors import OpenAIErrorOut, error_out

OPENAI, ANTHROPIC = "openai_", "anthropic_"
DIALECTS: dict[Any, str] = {OpenAIErrorOut: OPENAI, AnthropicErrorResponseOut: ANTHROPIC}
"""How the names of shared examples begin, by the shape of an error."""


def responses_for_errors(handler: HTTPRouteHandler, path: str) -> dict[int, ResponseSpec]:
    """Return the errors of a route: its handler's own, and those raised before the handler is reached."""
    codes: list[str | tuple[int, str]] = ["invalid_input", "internal"]
    if required_right(handler) is not None:
        codes += ["unauthenticated", "forbidden", "tenant_suspended", "unavailable"]
    if required_right(handler) is not None and "GET" in handler.http_methods:
        codes += ["rate_limit_exceeded"]
    if handler.parsed_data_field is not None:
        codes += ["body_too_large", "unsupported_media_type", "request_timeout"]
    if "{" in path:
        codes += ["not_found"]
    own = {status: spec for status, spec in (handler.responses or {}).items() if isinstance(spec, ProblemSpec)}
    details = {code: detail for spec in own.values() for code, detail in spec.details.items()}
    for status, spec in own.items():
        codes += [code if documented_status(code) == status else (status, code) for code in spec.codes]
    return problems(*codes, openai=is_openai(path), anthropic=is_anthropic(path), **details)


def is_openai(path: str) -> bool:
    """Whether the errors of a path have OpenAI's format."""
    return f"{path}/".startswith("/v1/")


def describe_errors(response: OpenAPIResponse, status: int, spec: ProblemSpec, handler: HTTPRouteHandler) -> None:
    """Complete the response of one status: when it occurs, and an example for each of its codes."""
    dialect = DIALECTS.get(spec.data_container, "")
    descriptions = [_description(code, handler) for code in spec.codes]
    response.description = " ".join(f"{sentence}." for sentence in dict.fromkeys(descriptions))
    for media in (response.content or {}).values():
        media.examples = {code: _example(code, status, spec.details.get(code), dialect) for code in spec.codes}


def _description(code: str, handler: HTTPRouteHandler) -> str:
    right = required_right(handler)
    return f"The caller lacks the right `{right}`" if code == "forbidden" and right else CATALOG[code].when


def _example(code: str, status: int, detail: str | None, dialect: str) -> Any:
    if detail is None and status == documented_status(code, openai=bool(dialect)):
        return Reference(f"#/components/examples/{dialect}{code}")
    detail = detail or CATALOG[code].detail
    if dialect == ANTHROPIC:
        return anthropic_example(code, detail)
    return openai_example(code, detail) if dialect else problem_example(code, detail, status=status)


def error_examples() -> dict[str, Any]:
    """Return the examples that routes share, as components."""
    native = {code: problem_example(code, doc.detail) for code, doc in CATALOG.items()}
    openai = {f"{OPENAI}{code}": openai_example(code, doc.detail) for code, doc in CATALOG.items()}
    return native | openai | {f"{ANTHROPIC}{code}": anthropic_example(code, CATALOG[code].detail) for code in CATALOG}


def problem_example(code: str, detail: str, *, status: int = 0) -> Example:
    """Return an error of a native route."""
    doc, status = CATALOG[code], status or documented_status(code)
    problem = ProblemOut(
        type=f"urn:headrace:problem:{code}",
        title=HTTPStatus(status).phrase,
        status=status,
        detail=detail,
        instance="/api/…",
        code=code,
        request_id="019a5c9e6f0a7c119f530c9d2f6f6b1e",
        errors=[FieldErrorOut(doc.field, detail)] if doc.field else [],
    )
    return LiteralExample(summary=doc.when, value=msgspec.to_builtins(problem))


def openai_example(code: str, detail: str) -> Example:
    """Return an error of a route under `/v1`."""
    doc, status = CATALOG[code], documented_status(code, openai=True)
    error = error_out(status, detail, code=code, param=doc.field)
    return LiteralExample(summary=doc.when, value=msgspec.to_builtins(error))


def anthropic_example(code: str, detail: str) -> Example:
    """Return an error of a route of Anthropic's."""
    status = documented_status(code, openai=True)
    error = anthropic_error_out(status, detail, code=code, request_id="019a5c9e6f0a7c119f530c9d2f6f6b1e")
    return LiteralExample(summary=CATALOG[code].when, value=msgspec.to_builtins(error))


class LiteralExample(Example):
    """An example whose value is written as it is. Litestar would drop nulls."""

    def to_schema(self) -> dict[str, Any]:
        return {**({"summary": self.summary} if self.summary else {}), "value": self.value}
