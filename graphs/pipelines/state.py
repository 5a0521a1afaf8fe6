"""What a pipeline's run remembers from step to step. Plain JSON values only: the state is stored after every step.

Each step's output is a key of its own, so that only what the step produced is stored after it.
"""

import operator
from typing import Annotated, Any, TypedDict

from graphs.agents.contract import AgentRun
from graphs.agents.state import data_mark, merge_used
from graphs.pipelines.definition import Definition
from graphs.pipelines.templates import Absent, Placeholder, as_text, resolve_path

State = dict[str, Any]
"""`said`, `data`, `renderer` and `finish` are the final step's; `trail` has the events so far; tokens are of all steps;
`mark` is the code of the run's data marks."""


TOKENS = (
    *("input_tokens", "output_tokens", "own_key_input_tokens", "own_key_output_tokens"),
    *("cached_tokens", "cache_write_tokens", "reasoning_tokens", "cache_write_1h_tokens"),
)


def output_key(step: str) -> str:
    """Return the state's key for a step's output: {text, data, ok, untrusted}; a router's is {next}."""
    return f"output.{step}"


def _latest_model(old: str, new: str) -> str:
    return new or old


def build_state_type(definition: Definition) -> type:
    """Return the state's type, which says how the writes of parallel steps are merged."""
    fields: dict[str, Any] = {output_key(name): dict for name in definition.steps}
    fields |= {
        "mark": str,
        "said": str,
        "data": Any,
        "renderer": Any,
        "finish": str,
        "model": Annotated[str, _latest_model],
    }
    fields |= dict.fromkeys(TOKENS, Annotated[int, operator.add])
    fields |= {
        "used": Annotated[dict, merge_used],
        "estimated": Annotated[bool, operator.or_],
        "trail": Annotated[list, operator.add],
    }
    make: Any = TypedDict  # type checkers want to read the fields, which only the definition has
    return make("PipelineState", fields, total=False)


class PlaceholderValues:
    """The values of a step's placeholders. `untrusted` becomes true when one of them is text from outside; with
    `wrap_untrusted`, such text is marked as data for a model."""

    def __init__(self, run: AgentRun, state: State, *, wrap_untrusted: bool) -> None:
        self._input, self._state, self._wrap_untrusted = run.question.text, state, wrap_untrusted
        self.untrusted = False

    def __call__(self, placeholder: Placeholder) -> Any:
        """Return a placeholder's value; Absent if it doesn't exist or its step was skipped."""
        if placeholder.step is None:
            return self._input
        output = self._state.get(output_key(placeholder.step))
        if output is None:
            return Absent
        value = _output_field(output, placeholder.path) if placeholder.path else output["text"]
        if output["untrusted"] and value is not Absent:
            self.untrusted = True
            return data_mark(self._state).wrap(as_text(value)) if self._wrap_untrusted else value
        return value


def _output_field(output: State, path: tuple[str, ...]) -> Any:
    """Return a field of the data; `text` and `ok` are the output's own if the data has no such field."""
    found = resolve_path(output["data"], path)
    return resolve_path({"text": output["text"], "ok": output["ok"]}, path) if found is Absent else found
