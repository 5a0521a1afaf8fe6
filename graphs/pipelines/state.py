"""What a run of a pipeline remembers from step to step. Plain JSON values only: it is stored after every step.

Each step's output is a value of its own, so that what is stored after a step is what that step brought and no more.
"""

import operator
from typing import Annotated, Any, TypedDict

from graphs.agents.contract import AgentRun
from graphs.agents.tool_calls import fence
from graphs.pipelines.definition import Definition
from graphs.pipelines.templates import Absent, Place, as_text, walk

State = dict[str, Any]
"""`said`, `data`, `renderer` and `finish` are the last step's; `trail` is what was told; tokens are of all steps."""


def output_of(step: str) -> str:
    """Return the name of a step's output in the state: {text, data, ok, untrusted}; a router's is {next}."""
    return f"output.{step}"


def _newer(before: str, after: str) -> str:
    return after or before


def state_of(definition: Definition) -> type:
    """Return the state's type, which says how what steps write side by side is put together."""
    fields: dict[str, Any] = {output_of(name): dict for name in definition.steps}
    fields |= {"said": str, "data": Any, "renderer": Any, "finish": str, "model": Annotated[str, _newer]}
    fields |= {"input_tokens": Annotated[int, operator.add], "output_tokens": Annotated[int, operator.add]}
    fields |= {"estimated": Annotated[bool, operator.or_], "trail": Annotated[list, operator.add]}
    return TypedDict("PipelineState", fields, total=False)  # type: ignore[operator]


class Outputs:
    """What the places of a step are filled with. `untrusted` becomes true when text from outside was among it; with
    `fenced` such text is marked as data for a model (G13)."""

    def __init__(self, run: AgentRun, state: State, *, fenced: bool) -> None:
        self._input, self._state, self._fenced = run.question.text, state, fenced
        self.untrusted = False

    def __call__(self, place: Place) -> Any:
        """Return a place's value; Absent for what is not there, or was passed by."""
        if place.step is None:
            return self._input
        output = self._state.get(output_of(place.step))
        if output is None:
            return Absent
        value = _field(output, place.path) if place.path else output["text"]
        if output["untrusted"] and value is not Absent:
            self.untrusted = True
            return fence(as_text(value)) if self._fenced else value
        return value


def _field(output: State, path: tuple[str, ...]) -> Any:
    """A field of the data; `text` and `ok` are the output's own where the data has none of that name."""
    found = walk(output["data"], path)
    return walk({"text": output["text"], "ok": output["ok"]}, path) if found is Absent else found
