"""What a kind of configured tool consists of, and how its config is read from a row."""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import msgspec

from schema.errors import InputError
from tools.configured.definition import ToolDefinition
from tools.contract import ToolContext, ToolResult
from tools.egress import EgressPolicy

RunTool = Callable[[dict[str, Any], ToolContext], Awaitable[ToolResult]]
Secrets = Mapping[str, str]
"""By name, for `{{secret:NAME}}` in headers."""

Config = TypeVar("Config", bound=msgspec.Struct)

ERROR_PATH = re.compile(r" - at `\$\.?(.*)`$")
UNKNOWN_FIELD = re.compile(r"unknown field `([^`]*)`")
MISSING_FIELD = re.compile(r"missing required field `([^`]*)`")


@dataclass(frozen=True, kw_only=True)
class KindSpec:
    """A kind of tool. `check` raises InputError for an invalid config; `parameters` returns the schema that the model is shown;
    `build` makes the function that runs it."""

    check: Callable[[ToolDefinition, EgressPolicy], None]
    build: Callable[[ToolDefinition, Secrets], RunTool]
    parameters: Callable[[ToolDefinition], dict[str, Any]] = lambda definition: definition.parameters
    endpoint: Literal["needed", "optional", "none"] = "none"
    side_effects: bool = False
    finds_passages: bool = False


def read_config(definition: ToolDefinition, shape: type[Config]) -> Config:
    """Return `config` as the kind's own struct. Raises InputError with a field such as `config.query`."""
    try:
        return msgspec.convert(definition.config, shape)
    except msgspec.ValidationError as error:
        raise shape_error(error, "config") from None


def shape_error(error: msgspec.ValidationError, root: str = "") -> InputError:
    """Convert msgspec's error to ours, with the path of the field."""
    message = ERROR_PATH.sub("", str(error))
    found = ERROR_PATH.search(str(error))
    name = UNKNOWN_FIELD.search(message) or MISSING_FIELD.search(message)
    steps = [root, found[1] if found else "", name[1] if name else ""]
    path = ".".join(step for step in steps if step).replace("[...]", "").replace("[", ".").replace("]", "")
    sentence = f"{path or 'The tool'}: {message[:1].lower()}{message[1:]}."
    return InputError(sentence, field=path or None)


def check_names(definition: ToolDefinition, names: Mapping[str, str]) -> None:
    """Raises InputError unless every key of `names` is a parameter; each value is the path where it is used."""
    for name, path in names.items():
        if name not in definition.properties:
            raise InputError(f"{path} uses {name[:64]}, which is not in parameters.properties.", field=path)
