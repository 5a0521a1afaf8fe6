"""The process in which a LangChain tool is built, described or called: one a call, gone when it ends.

LangChain's tools block, hold threads and connections, and do as their libraries please; here none of that reaches the worker.
stdin: a `Request` as JSON. stdout: for each tool, {"answer": …}, or {"kind", "error"}.
"""

import asyncio
import importlib
import json
import sys
import warnings
from ipaddress import ip_network
from typing import Any, cast

import msgspec

from tools.egress import EgressPolicy
from tools.egress.policy import AllowList
from tools.langchain.guard import Guard
from tools.sandbox import forbid_changes, set_resource_limits, unsupported_reason

MEGABYTES, CPU_S = 4096, 120


class Allowed(msgspec.Struct, frozen=True):
    """An `EgressPolicy` as text."""

    hosts: list[str] = []
    networks: list[str] = []
    granted_hosts: list[str] = []
    granted_networks: list[str] = []
    is_granted: bool = False


class ClassCall(msgspec.Struct, frozen=True):
    """A class, and what its object is made with. Its module may lie in `folder`, where the list is, if none of its name is
    installed."""

    class_name: str
    arguments: dict[str, Any] = {}
    folder: str = ""


class Request(msgspec.Struct, frozen=True):
    """`call` are the arguments of a call of the only tool; None asks for the name, description and parameters of all."""

    tools: list[ClassCall]
    allowed: Allowed
    call: dict[str, Any] | None = None


def allowed_by(policy: EgressPolicy) -> Allowed:
    """Return a policy as text."""
    granted = policy.granted or AllowList()
    return Allowed(
        sorted(policy.allowed_hosts),
        [str(one) for one in policy.allowed_networks],
        sorted(granted.hosts),
        [str(one) for one in granted.networks],
        policy.granted is not None,
    )


def policy_of(allowed: Allowed) -> EgressPolicy:
    """Return the policy of a text."""
    granted = AllowList(frozenset(allowed.granted_hosts), tuple(map(ip_network, allowed.granted_networks)))
    return EgressPolicy(
        allowed_hosts=frozenset(allowed.hosts),
        allowed_networks=tuple(map(ip_network, allowed.networks)),
        granted=granted if allowed.is_granted else None,
    )


def main() -> None:
    """Libraries may print; only the reply goes to the real standard output."""
    out, sys.stdout = sys.stdout, sys.stderr
    warnings.simplefilter("ignore")
    request = msgspec.json.decode(sys.stdin.buffer.read(), type=Request)
    set_resource_limits(MEGABYTES, CPU_S)
    if not unsupported_reason():
        forbid_changes()
    guard = Guard(policy_of(request.allowed))
    guard.install()
    replies = [_reply(made, request.call, guard) for made in request.tools]
    print(json.dumps(replies, default=str), file=out, flush=True)


def _reply(made: ClassCall, call: dict[str, Any] | None, guard: Guard) -> dict[str, Any]:
    guard.refusals.clear()
    kind = "broken"
    try:
        tool = build(made)
        if call is None:
            return {"answer": _describe(tool)}
        kind = "failed"
        return {"answer": _call(tool, call)}
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the edge of this process; libraries raise anything
        if refusal := guard.refusal_of(error):
            return {"kind": "refused", "error": refusal}
        if kind == "failed" and _is_of_arguments(error):
            kind = "arguments"
        return {"kind": kind, "error": f"{type(error).__name__}: {said_of(error)}"}


def _is_of_arguments(error: BaseException) -> bool:
    """Whether other arguments may help: LangChain's own error says so, and Python's for a wrong value."""
    of_data = isinstance(error, json.JSONDecodeError | UnicodeError)  # of what came, not of what was asked
    by_tool = any(kind.__name__ == "ToolException" for kind in type(error).__mro__)
    return by_tool or (isinstance(error, ValueError) and not of_data)


def said_of(error: BaseException) -> str:
    """Return what an error says, without the values that pydantic quotes: they may be secrets."""
    if type(error).__module__.startswith("pydantic") and hasattr(error, "errors"):
        found = cast(Any, error).errors()
        return "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in found)[:300]
    return str(error)[:300]


def build(made: ClassCall) -> Any:
    """Return the object. Raises whatever its class, or those of its arguments, raise."""
    find_beside(made.folder)
    return _object(made.class_name, made.arguments)


def find_beside(folder: str) -> None:
    """Let modules of a folder be imported, after those that are installed."""
    if folder and folder not in sys.path:
        sys.path.append(folder)


def _object(class_name: str, arguments: Any) -> Any:
    return load_class(class_name)(**{key: _built(value) for key, value in arguments.items()})


def load_class(class_name: str) -> Any:
    """Return the class `module:Class`. Raises whatever its import raises."""
    module, _, name = class_name.partition(":")
    return getattr(importlib.import_module(module), name)


def _built(value: Any) -> Any:
    match value:
        case {"class": str(class_name), **rest}:
            return _object(class_name, cast(dict[str, Any], rest).get("arguments") or {})
        case dict():
            return {key: _built(one) for key, one in cast(dict[str, Any], value).items()}
        case list():
            return [_built(one) for one in cast(list[Any], value)]
        case _:
            return value


def _describe(tool: Any) -> dict[str, Any]:
    schema = tool.get_input_schema().model_json_schema()
    return {"name": tool.name, "description": tool.description, "parameters": schema}


def _call(tool: Any, arguments: dict[str, Any]) -> Any:
    try:
        found = tool.invoke(arguments)
    except NotImplementedError:  # some are asynchronous alone
        found = asyncio.run(tool.ainvoke(arguments))
    return found if _is_json(found) else str(found)


def _is_json(found: Any) -> bool:
    """Whether an answer is data; what is within it may be written as text."""
    if not (isinstance(found, (str, int, float, bool, list, dict)) or found is None):
        return False
    try:
        json.dumps(found, default=str)
    except (TypeError, ValueError, RecursionError):
        return False
    return True


if __name__ == "__main__":
    main()
