"""`OCR`: reads the text in an uploaded file. With an endpoint, the file is sent there as multipart form data; `config.result`
points to the text in the response; without one, it is read locally by `read_image`. `config`: `file` (the argument with the
file's id), `field` (the form field).
"""

from typing import Annotated, Any

from msgspec import Meta

from schema.errors import InputError
from tools.builtin.read_image import TIME_S, read_text
from tools.configured.definition import ToolDefinition, any_object
from tools.configured.kind import KindSpec, RunTool, Secrets, check_names, read_config
from tools.configured.responses import to_tool_result
from tools.configured.web_calls import WebConfig, build_call, check_web_config
from tools.contract import ToolContext, ToolResult
from tools.egress import EgressPolicy
from tools.errors import ToolBadArguments, ToolUnavailable


class OcrConfig(WebConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
    file: Annotated[str, Meta(min_length=1, max_length=64)] = "file_id"
    field: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.-]{1,64}$(?!\n)")] = "file"


def check(definition: ToolDefinition, policy: EgressPolicy) -> None:
    config = read_config(definition, OcrConfig)
    if definition.endpoint is not None:
        check_web_config(definition, config, policy)
    else:
        unused = ["headers"] if definition.headers else []
        unused += [f"config.{name}" for name in definition.config if name != "file"]
        if unused:
            raise InputError(f"{unused[0]} is used only with an endpoint; remove it.", field=unused[0])
    if definition.parameters != any_object():
        check_names(definition, {config.file: "config.file"})


def parameters(definition: ToolDefinition) -> dict[str, Any]:
    """The admin's parameters, or a single file."""
    if definition.parameters != any_object():
        return definition.parameters
    name = read_config(definition, OcrConfig).file
    file = {"type": "string", "description": "Id of an uploaded file", "minLength": 1, "maxLength": 200}
    return {"type": "object", "properties": {name: file}, "required": [name], "additionalProperties": False}


def build(definition: ToolDefinition, secrets: Secrets) -> RunTool:
    config = read_config(definition, OcrConfig)
    if definition.endpoint is None:
        return _read_locally(definition, config)
    call = build_call(definition, config, secrets)

    async def read(arguments: dict[str, Any], context: ToolContext) -> ToolResult:
        content = await _content(config, arguments, context)
        files = {config.field: ("file", content, "application/octet-stream")}
        address = call.endpoint.url(definition.with_defaults(arguments))
        return to_tool_result(call.result(await call.send("POST", address, context, files=files)), definition)

    return read


def _read_locally(definition: ToolDefinition, config: OcrConfig) -> RunTool:
    time_s = max(1, min(TIME_S, int(definition.timeout_s)))

    async def read(arguments: dict[str, Any], context: ToolContext) -> ToolResult:
        return await read_text(await _content(config, arguments, context), time_s=time_s)

    return read


async def _content(config: OcrConfig, arguments: dict[str, Any], context: ToolContext) -> bytes:
    if context.files is None:
        raise ToolUnavailable("File uploads are not set up; an admin must set up file storage.")
    return await context.files(_file_id(config, arguments))


def _file_id(config: OcrConfig, arguments: dict[str, Any]) -> str:
    id = arguments.get(config.file)
    if not isinstance(id, str) or not id:
        raise ToolBadArguments(f"The argument {config.file} must be the id of an uploaded file.", field=config.file)
    return id


KIND = KindSpec(check=check, build=build, parameters=parameters, endpoint="optional")
