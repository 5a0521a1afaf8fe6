"""The row that makes a tool without code. Not for: whether it is right (`checking.py`), or running it (`building.py`)."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from tools.contract import MAX_BYTES

Kind = Literal["HTTP_GET", "HTTP_POST", "RAG", "SQL", "OCR", "CUBE"]
OutputFormat = Literal["structured_json", "markdown_table", "chart_data", "summary_text"]


def any_object() -> dict[str, Any]:
    """A schema that takes any object; kinds that know their own parameters put theirs in its place."""
    return {"type": "object", "properties": {}}


class ToolDefinition(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A configured tool. `endpoint` may hold `{name}` in its path; header values may hold `{{secret:NAME}}`. `config` is
    the kind's own part and stands in the kind's file. `renderer` is a hint such as `{"type": "table", "fields": ["due"]}`.
    `priority`: higher is offered first. `side_effects`: None means yes for HTTP_POST and no for the others. `timeout_s` is
    in seconds, `max_bytes` is the most that a model is given, in UTF-8."""

    name: Annotated[str, Meta(pattern=r"^[a-zA-Z][a-zA-Z0-9_-]{0,63}$(?!\n)")]
    kind: Kind
    description: Annotated[str, Meta(min_length=1, max_length=4000)]
    endpoint: Annotated[str, Meta(max_length=2048)] | None = None
    headers: dict[str, str] = {}
    parameters: dict[str, Any] = msgspec.field(default_factory=any_object)
    config: dict[str, Any] = {}
    output_format: OutputFormat | None = None
    renderer: dict[str, Any] | None = None
    priority: Annotated[int, Meta(ge=0, le=1000)] = 100
    timeout_s: Annotated[float, Meta(ge=0.1, le=120)] = 15.0
    side_effects: bool | None = None
    max_bytes: Annotated[int, Meta(ge=256, le=1024 * 1024)] = MAX_BYTES

    def __repr__(self) -> str:
        """Short, since headers may hold keys."""
        return f"ToolDefinition({self.kind} {self.name})"

    @property
    def properties(self) -> dict[str, Any]:
        """The parameters by name; the others of the schema's words are not needed to fill a request."""
        properties = self.parameters.get("properties")
        return properties if isinstance(properties, dict) else {}

    def is_always_there(self, name: str) -> bool:
        """Whether a call has a value for the parameter `name`: it is required, or the schema has a default."""
        schema, required = self.properties.get(name), self.parameters.get("required")
        has_default = isinstance(schema, dict) and schema.get("default") is not None
        return has_default or (isinstance(required, list) and name in required)

    def with_defaults(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """The declared arguments of a call, with the schema's defaults where there is none."""
        defaults = {
            name: schema["default"]
            for name, schema in self.properties.items()
            if isinstance(schema, dict) and schema.get("default") is not None
        }
        given = {name: value for name, value in arguments.items() if name in self.properties and value is not None}
        return {**defaults, **given}
