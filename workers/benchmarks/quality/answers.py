"""What a model or an agent answers to a question, and whether that is right by the check of the dataset."""

import asyncio
from typing import Any

import msgspec

from graphs.providers.contract import Message
from workers.benchmarks.quality.agents import AgentAsker
from workers.benchmarks.quality.calls import QualityCalls
from workers.benchmarks.quality.checks import judge_by_rule
from workers.benchmarks.quality.items import Item
from workers.benchmarks.quality.judge import SHOWN_CHARS, ask_judge
from workers.benchmarks.quality.outcome import Outcome
from workers.benchmarks.quality.settings import QualitySettings


async def judge_answer(
    calls: QualityCalls, agent: AgentAsker | None, settings: QualitySettings, place: int, item: Item
) -> Outcome:
    """Ask, and return whether the answer is right."""
    assert item.answer is not None, "only these are judged"
    assert settings.model is not None, "it was resolved when this was submitted"
    about: dict[str, Any] = {}
    if agent is not None:
        answer = await calls.ask_agent(agent, place, item.question)
        measured, about = answer.measured, {"agent": answer.agent, "tools": list(answer.tools)}
    else:
        asked = (Message.of("user", item.question),)
        measured = await calls.call(settings.model, place, asked, settings.max_tokens)
    outcome = {"expected": msgspec.to_builtins(item.answer), "found": measured.text[:SHOWN_CHARS], **about}
    if measured.error is not None:
        return None, outcome | {"error": measured.error}
    if item.answer.check != "judge":
        return await asyncio.to_thread(judge_by_rule, item.answer, measured.text), outcome
    correct, reason = await ask_judge(
        calls, settings.judge or settings.model, place, item.question, expected=item.answer, answer=measured.text
    )
    return correct, outcome | {"reason": reason}
