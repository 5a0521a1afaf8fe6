"""The choices of an answer beside its first (`n` > 1), in OpenAI's shape: only its API knows them."""

from typing import Any

from graphs.providers.contract import (
    ChoiceDelta,
    ExtraDelta,
    Finished,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    ToolCallDelta,
)
from graphs.providers.extras import merge_extra
from graphs.tool_calls import ToolCalls
from schema import events


class _Choice:
    def __init__(self) -> None:
        self.texts = {"content": "", "refusal": "", "reasoning_content": ""}
        self.logprobs: dict[str, list[dict[str, Any]]] = {}
        self.calls = ToolCalls()
        self.extra: dict[str, Any] = {}
        self.reason = "stop"

    def add(self, delta: Any) -> dict[str, Any]:
        """Take a delta and return it as OpenAI streams it; empty for one that isn't streamed."""
        match delta:
            case TextDelta(text, logprobs):
                return self._more("content", text, logprobs)
            case RefusalDelta(text, logprobs):
                return self._more("refusal", text, logprobs)
            case ReasoningDelta(text):
                return self._more("reasoning_content", text, None)
            case ToolCallDelta():
                return {"tool_calls": [self.calls.add(delta)]}
            case ExtraDelta(extra):
                self.extra = merge_extra(self.extra, extra)
            case Finished(reason):
                self.reason = reason
        return {}

    def _more(self, name: str, text: str, logprobs: list[dict[str, Any]] | None) -> dict[str, Any]:
        self.texts[name] += text
        if logprobs:
            self.logprobs.setdefault(name, []).extend(logprobs)
        return {name: text}

    def whole(self, index: int) -> dict[str, Any]:
        """Return the choice as it is in a completion that is not streamed."""
        content, refusal, reasoning = self.texts.values()
        calls = self.calls.all_as_openai()
        silent = bool(calls or refusal)
        message = {**self.extra, "role": "assistant", "content": content or (None if silent else "")}
        message |= {"refusal": refusal or None, **({"tool_calls": calls} if calls else {})}
        message |= {"reasoning_content": reasoning} if reasoning else {}
        told = {name: self.logprobs.get(name) for name in ("content", "refusal")} if self.logprobs else None
        return {"index": index, "message": message, "logprobs": told, "finish_reason": self.reason}


class OtherChoices:
    """The other choices of one answer."""

    def __init__(self) -> None:
        self._choices: dict[int, _Choice] = {}

    def add(self, choice: ChoiceDelta) -> events.ChoiceDelta | None:
        """Take a delta and return its event; None for one that isn't streamed."""
        found = self._choices.setdefault(choice.index, _Choice())
        delta = found.add(choice.delta)
        reason = choice.delta.reason if isinstance(choice.delta, Finished) else None
        if not delta and reason is None:
            return None
        logprobs = getattr(choice.delta, "logprobs", None)
        return events.ChoiceDelta(choice=choice.index, delta=delta, logprobs=logprobs, finish_reason=reason)

    def all(self) -> list[dict[str, Any]] | None:
        """Return the whole choices by their index, or None if there are none."""
        return [choice.whole(index) for index, choice in sorted(self._choices.items())] or None
