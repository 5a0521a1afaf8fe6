"""Validates a row before it is stored: each error names the field and says what is expected. Makes no request and no DNS
lookup; the egress guard checks addresses when a call is made.
"""

import json
import re
from typing import Any

import msgspec

from schema.errors import InputError
from tools.configured.definition import ToolDefinition
from tools.configured.kind import shape_error
from tools.configured.kinds import KINDS
from tools.egress import EgressPolicy
from tools.parameter_schema import check_schema

MAX_RENDERER = 4096
RENDERER = re.compile(r"[a-z][a-z0-9_-]{0,39}")


def check_definition(definition: ToolDefinition, policy: EgressPolicy) -> None:
    """Return if the row makes a tool that is allowed under `policy`. Raises InputError with a `field` such as
    `endpoint`, `headers.X-Key`, `parameters.properties.n` or `config.statement`."""
    try:
        msgspec.convert(
            msgspec.to_builtins(definition), ToolDefinition
        )  # a row made in code has not been validated yet
    except msgspec.ValidationError as error:
        raise shape_error(error) from None
    except (TypeError, RecursionError):
        raise InputError("The tool contains something that can't be encoded as JSON.") from None
    if not definition.description.strip():
        raise InputError(
            "description must say what the tool is for: the model chooses tools by it.", field="description"
        )
    check_schema(definition.parameters)
    _check_renderer(definition.renderer)
    kind = KINDS[definition.kind]
    if kind.endpoint == "none":
        for name in ("endpoint", "headers"):
            if getattr(definition, name):
                raise InputError(f"{name} is not used by kind {definition.kind}; remove it.", field=name)
    if kind.endpoint == "needed" and not definition.endpoint:
        raise InputError(f"endpoint is required for kind {definition.kind}.", field="endpoint")
    kind.check(definition, policy)


def _check_renderer(renderer: dict[str, Any] | None) -> None:
    if renderer is None:
        return
    kind, fields = renderer.get("type"), renderer.get("fields", [])
    if not isinstance(kind, str) or not RENDERER.fullmatch(kind):
        raise InputError("renderer.type is required, such as table or chart.", field="renderer.type")
    if not isinstance(fields, list) or not all(isinstance(each, str) for each in fields):
        raise InputError("renderer.fields must be a list of names.", field="renderer.fields")
    if len(json.dumps(renderer)) > MAX_RENDERER:
        raise InputError(f"renderer is larger than {MAX_RENDERER:,} bytes.", field="renderer")
