"""The row that makes a tool without code. Not for: validating it (`validation.py`) or running it (`build.py`)."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from schema.tool_kinds import ToolKind
from tools.contract import MAX_BYTES

OutputFormat = Literal["structured_json", "markdown_table", "chart_data", "summary_text"]


def any_object() -> dict[str, Any]:
    """A schema that accepts any object; kinds with parameters of their own replace it."""
    return {"type": "object", "properties": {}}


Name = Annotated[
    str,
    Meta(
        max_length=64,
        pattern=r"^[a-zA-Z][a-zA-Z0-9_-]{0,63}$(?!\n)",
        description="Unique name: a letter, then up to 63 letters, digits, `_` or `-`. Can't be changed later.",
        examples=["get_stock"],
    ),
]
KindField = Annotated[ToolKind, Meta(description="What a call does. Each kind has its own `config`.")]
Description = Annotated[
    str, Meta(min_length=1, max_length=4000, description="What the tool does and when to call it, for the model.")
]
Endpoint = Annotated[
    str,
    Meta(max_length=2048, description="URL to call; its path may contain parameters, such as `/stock/{sku}`."),
]
Headers = Annotated[
    dict[str, str],
    Meta(
        description="Request headers; values may contain `{{secret:NAME}}`. Without `Authorization`, a token of the "
        "job is sent, which says for whom it works.",
        extra={"max_bytes": 64 * 1024},
    ),
]
Parameters = Annotated[
    dict[str, Any], Meta(description="JSON Schema of the arguments.", extra={"max_bytes": 256 * 1024})
]
Config = Annotated[dict[str, Any], Meta(description="Options of the kind.", extra={"max_bytes": 256 * 1024})]
Format = Annotated[OutputFormat, Meta(description="Format of the output; null leaves it to the agent.")]
Renderer = Annotated[
    dict[str, Any],
    Meta(
        description='Display hint for clients, such as `{"type": "table", "fields": ["due"]}`.',
        extra={"max_bytes": 16 * 1024},
    ),
]
Priority = Annotated[int, Meta(ge=0, le=1000, description="Tools with a higher priority are offered to models first.")]
TimeoutS = Annotated[float, Meta(ge=0.1, le=120, description="Most seconds that a call may take.")]
SideEffects = Annotated[
    bool,
    Meta(description="Whether calls have side effects; null means yes for `HTTP_POST` and no for other kinds."),
]
MaxBytes = Annotated[
    int, Meta(ge=256, le=1024 * 1024, description="Most bytes (UTF-8) of the output that a model is given.")
]


class ToolDefinition(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A configured tool, as its row stores it."""

    name: Name
    kind: KindField
    description: Description
    endpoint: Endpoint | None = None
    headers: Headers = {}
    parameters: Parameters = msgspec.field(default_factory=any_object)
    config: Config = {}
    output_format: Format | None = None
    renderer: Renderer | None = None
    priority: Priority = 100
    timeout_s: TimeoutS = 15.0
    side_effects: SideEffects | None = None
    max_bytes: MaxBytes = MAX_BYTES

    def __repr__(self) -> str:
        """Short, since headers may contain keys."""
        return f"ToolDefinition({self.kind} {self.name})"

    @property
    def properties(self) -> dict[str, Any]:
        """The parameters by name; the schema's other keywords are not needed to fill a request."""
        properties = self.parameters.get("properties")
        return properties if isinstance(properties, dict) else {}

    def always_has_value(self, name: str) -> bool:
        """Whether every call has a value for the parameter: it is required, or has a default."""
        schema, required = self.properties.get(name), self.parameters.get("required")
        has_default = isinstance(schema, dict) and schema.get("default") is not None
        return has_default or (isinstance(required, list) and name in required)

    def with_defaults(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """The declared arguments of a call, with the schema's defaults for missing ones."""
        defaults = {
            name: schema["default"]
            for name, schema in self.properties.items()
            if isinstance(schema, dict) and schema.get("default") is not None
        }
        given = {name: value for name, value in arguments.items() if name in self.properties and value is not None}
        return {**defaults, **given}
