"""Every way in which a tool can misbehave ends in one sentence, within its limits, and the caller goes on."""

import asyncio
from typing import Any

import pytest

from schema.errors import EgressFailed, EgressRefused, EgressTooLarge, NotFound
from tests.tools.tool_contexts import call, failure, make_context
from tools.contract import FunctionTool, Tool, ToolContext, ToolResult, ToolSpec
from tools.errors import ToolBadArguments, ToolFailed, ToolUnavailable
from tools.execution import call_tool, limit_result, truncate_text
from tools.run_sandboxed import run_sandboxed


def tool_of(function: Any, **spec: Any) -> Tool:
    return FunctionTool(ToolSpec(name="it", description="", parameters={"type": "object"}, **spec), function)


def raising(error: BaseException) -> Tool:
    async def run(arguments: dict[str, Any], context: ToolContext) -> ToolResult:
        raise error

    return tool_of(run)


def giving(result: Any, **spec: Any) -> Tool:
    async def run(arguments: dict[str, Any], context: ToolContext) -> Any:
        return result

    return tool_of(run, **spec)


async def test_a_result_comes_back_as_it_is() -> None:
    result = await call(giving(ToolResult("Xin chào", {"a": [1, None]}, "table")))
    assert ToolResult("Xin chào", {"a": [1, None]}, "table") == result


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (ToolBadArguments("Send x.", field="x"), "tool_bad_arguments", "Send x."),
        (ToolUnavailable("It is away."), "tool_failed", "It is away."),
        (NotFound("There is none."), "tool_failed", "There is none."),
        (EgressRefused("Not there."), "tool_refused", "Not there."),
        (EgressTooLarge("Too much."), "tool_too_large", "Too much."),
        (EgressFailed("No answer."), "tool_failed", "No answer."),
        (asyncio.CancelledError(), "tool_failed", "it was cancelled; try again or continue without it."),
        (
            ValueError("password=hunter2"),
            "tool_failed",
            "it failed unexpectedly (ValueError). Try other arguments, or continue without it.",
        ),
    ],
)
async def test_every_failure_is_a_sentence_without_secrets(error: BaseException, code: str, message: str) -> None:
    found = await failure(raising(error))
    assert (code, message) == (found.code, found.message)


@pytest.mark.parametrize("result", [None, "text", ToolResult(b"bytes"), ToolResult("x", object())])
async def test_what_is_no_result_is_a_failure(result: Any) -> None:
    assert "tool_failed" == (await failure(giving(result))).code


async def test_a_tool_that_hangs_is_ended_in_its_time() -> None:
    ended = asyncio.Event()

    async def hang(arguments: dict[str, Any], context: ToolContext) -> ToolResult:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        raise AssertionError

    error = await failure(tool_of(hang, timeout_s=0.05))
    assert ("tool_timeout", "it did not finish within 0.05 seconds. Ask for less, or continue without it.", True) == (
        error.code,
        error.message,
        ended.is_set(),
    )


async def test_a_tool_that_swallows_its_cancellation_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tools.execution.CANCEL_GRACE_S", 0.05)
    release = asyncio.Event()

    async def stubborn(arguments: dict[str, Any], context: ToolContext) -> ToolResult:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue
        return ToolResult("late")

    error = await failure(tool_of(stubborn, timeout_s=0.05))
    release.set()
    assert "tool_timeout" == error.code


async def test_cancelling_the_caller_cancels_the_tool() -> None:
    begun, cancelled = asyncio.Event(), asyncio.Event()

    async def wait(arguments: dict[str, Any], context: ToolContext) -> ToolResult:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise
        raise AssertionError

    run = asyncio.ensure_future(call(tool_of(wait)))
    await begun.wait()
    run.cancel()
    await asyncio.wait({run})
    assert (True, True) == (run.cancelled(), cancelled.is_set())


async def test_a_missing_right_is_refused_before_anything_runs() -> None:
    ran = []

    async def note(arguments: dict[str, Any], context: ToolContext) -> ToolResult:
        ran.append(1)
        return ToolResult("")

    tool = tool_of(note, rights=frozenset({"admin"}))
    assert ("tool_refused", []) == ((await failure(tool, make_context(rights=frozenset({"chat"})))).code, ran)
    with pytest.raises(ToolFailed):
        await call_tool(tool, "[", make_context(rights=frozenset({"admin"})))
    assert [] == ran


async def test_an_answer_is_cut_to_its_size_and_says_so() -> None:
    result = await call(giving(ToolResult("é" * 200_000, {"a": "x" * 200_000})))
    assert (True, None, True) == (len(result.text.encode()) <= 100 * 1024, result.data, result.truncated)
    assert result.text.endswith("[truncated: 400,000 bytes in all, at most 102,400 are shown]")


@pytest.mark.parametrize(
    ("text", "most", "cut"),
    [
        ("abc", 3, ("abc", False)),
        ("a\x00b", 9, ("ab", False)),
        ("\ud800", 9, ("?", False)),
        ("é" * 9, 5, ("\n[tru", True)),
    ],
)
def test_text_is_cut_between_characters(text: str, most: int, cut: tuple[str, bool]) -> None:
    assert cut == truncate_text(text, most)


def test_data_never_holds_what_postgres_can_not_keep() -> None:
    assert {"a": "xy"} == limit_result(ToolResult("", {"a": "x\x00y"}), 100).data


@pytest.mark.parametrize("name", ["", "1a", "a b", "a" * 65, "tên", "a.b"])
def test_a_tools_name_is_one_that_every_vendor_takes(name: str) -> None:
    with pytest.raises(ValueError, match="is not a valid tool name"):
        ToolSpec(name=name, description="", parameters={})


async def test_a_child_answers_with_what_its_function_returns() -> None:
    where = "tests.tools.misbehaving_child:misbehave"
    found = await run_sandboxed(where, {"how": "print"}, "dữ liệu\n2".encode(), time_s=5)
    assert {"echo": "dữ liệu\n2", "how": "print"} == found


@pytest.mark.parametrize(
    ("how", "code"), [("memory", "tool_too_large"), ("large", "tool_too_large"), ("path", "tool_bad_arguments")]
)
async def test_a_child_that_fails_is_a_sentence_without_paths(how: str, code: str) -> None:
    with pytest.raises(ToolFailed) as caught:
        await run_sandboxed("tests.tools.misbehaving_child:misbehave", {"how": how}, time_s=5)
    assert (code, False) == (caught.value.code, "secret" in caught.value.message)
