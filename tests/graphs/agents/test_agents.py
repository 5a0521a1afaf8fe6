"""The agents' graphs in one process, over the real wire protocols of Ollama and OpenAI."""

import dataclasses
import json
from collections.abc import AsyncIterator, Sequence
from typing import Any, Literal
from unittest.mock import Mock

import aiohttp
import httpx2
import pytest

from graphs.agents.contract import AgentRun, AgentSpec, CallResult
from graphs.agents.graphs import AgentGraphs, Thread
from graphs.agents.plan_execute import MAX_ROUNDS
from graphs.agents.state import AgentState
from graphs.providers.breakers import Breakers
from graphs.providers.contract import FilePart, Message, ModelRequest, Provider, TextPart
from graphs.providers.fallback import ChainModel
from graphs.providers.ollama.provider import Ollama
from graphs.providers.openai.provider import OpenAICompatible
from graphs.providers.openai.vendors import VENDORS
from graphs.providers.prompted_tools.provider import NativeOrPromptedTools
from graphs.routing.contract import Context, Intent, Route, Scored
from schema.errors import Unavailable
from schema.events import AgentRouted, Event, MessageDelta, PlanCreated, ToolFinished, ToolStarted
from schema.vault import PLATFORM
from tests.counterparts.behaviours import calls, fails, says
from tests.counterparts.ollama_server import OllamaServer
from tests.counterparts.openai.server import OpenAIServer
from tests.graphs.pipeline_stubs import unmarked
from tools.contract import FunctionTool, ToolContext, ToolResult, ToolSpec

NUMBER = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


class Ledger:
    """A ledger in memory."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.ended: dict[str, CallResult] = {}

    async def begin(self, call_id: str, tool: str, *, side_effects: bool) -> CallResult | None:
        self.begun.append(call_id)
        return self.ended.get(call_id)

    async def end(self, call_id: str, tool: str, result: CallResult) -> None:
        self.ended[call_id] = result


async def _double(arguments: dict[str, Any], context: ToolContext) -> ToolResult:
    return ToolResult(str(2 * arguments["n"]))


DOUBLE = FunctionTool(ToolSpec(name="double", description="Doubles a number.", parameters=NUMBER), _double)


class AgentRunner:
    """Runs agents with one provider, and records the events."""

    def __init__(self, provider: Provider, fetch: httpx2.AsyncClient, models: Sequence[str] = ("scripted",)) -> None:
        self.emitted: list[Event] = []
        self.ledger = Ledger()
        wrapped = NativeOrPromptedTools(provider)
        self._chain = [ChainModel(wrapped, name, f"test/{name}", f"test/{name}") for name in models]
        self._fetch = fetch
        self.route: Route | None = None

    def run(self, *agents: AgentSpec, text: str = "Double 4.", **fields: Any) -> AgentRun:
        async def chain(agent: AgentSpec) -> list[ChainModel]:
            return self._chain

        async def route(text: str, context: Context) -> Route:
            assert self.route is not None
            return self.route

        async def context(call_id: str) -> ToolContext:
            return ToolContext(tenant_id=str(PLATFORM), user_id="u", job_id="j", call_id=call_id, fetch=self._fetch)

        return AgentRun(
            agents={agent.name: agent for agent in agents},
            tools={"double": DOUBLE},
            question=Message.of("user", text),
            history=(),
            request=fields.pop("request", ModelRequest(model="", messages=())),
            chain=chain,
            route=route,
            ledger=self.ledger,
            context=context,
            emit=self.emitted.append,
            breakers=Breakers(),
            **fields,
        )

    async def ask(self, agent: AgentSpec, **fields: Any) -> AgentState:
        """Run one agent to its end."""
        run = self.run(agent, **fields)
        state: AgentState = {"said": "", "at": 0, "intents": [{"agent": agent.name, "text": run.question.text}]}
        graph = "react" if agent.graph == "react" else "plan_execute"
        return await AgentGraphs(None).run(graph, run, state, Thread("t", "j"), resume=False)

    def of(self, kind: type[Event]) -> list[Any]:
        return [event for event in self.emitted if isinstance(event, kind)]


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as opened:
        yield opened


@pytest.fixture
async def fetch() -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient() as opened:
        yield opened


@pytest.fixture
async def openai_server() -> AsyncIterator[OpenAIServer]:
    async with OpenAIServer() as server:
        yield server


@pytest.fixture
def runner(openai_server: OpenAIServer, session: aiohttp.ClientSession, fetch: httpx2.AsyncClient) -> AgentRunner:
    return AgentRunner(OpenAICompatible(session, VENDORS["openai"].at(openai_server.base_url), key="k"), fetch)


REACT = AgentSpec(name="Doubler", graph="react", tools=("double",))
PLANNER = AgentSpec(name="Planner", graph="plan_execute", tools=("double",))


async def test_ollamas_models_call_tools_over_its_own_wire(
    session: aiohttp.ClientSession, fetch: httpx2.AsyncClient
) -> None:
    async with OllamaServer() as server:
        server.script(calls(("double", {"n": 4})), says("It is 8."))
        runner = AgentRunner(Ollama(session, server.url), fetch)
        state = await runner.ask(REACT)
    assert "It is 8." == state["said"]
    assert [("double", {"n": 4})] == [(event.name, event.arguments) for event in runner.of(ToolStarted)]
    assert ["8"] == [event.output for event in runner.of(ToolFinished)]


async def test_calls_that_come_together_are_made_side_by_side_under_ids_of_our_own(
    openai_server: OpenAIServer, runner: AgentRunner
) -> None:
    openai_server.script(calls(("double", {"n": 1}), ("double", {"n": 2})), calls(("double", {"n": 3})), says("Done."))
    await runner.ask(REACT)
    assert ["call_0_1_0", "call_0_1_1", "call_0_2_0"] == list(runner.ledger.ended)
    shown = openai_server.records[-1].body["messages"]
    assert ["2", "4", "6"] == [unmarked(message["content"]) for message in shown if message["role"] == "tool"]


async def test_a_model_that_never_stops_calling_is_asked_for_its_answer(
    openai_server: OpenAIServer, runner: AgentRunner
) -> None:
    openai_server.answer_with(lambda body: calls(("double", {"n": 1})) if body.get("tools") else says("Enough."))
    state = await runner.ask(AgentSpec(name="Doubler", graph="react", tools=("double",), max_steps=3))
    assert ("Enough.", 3) == (state["said"], len(runner.of(ToolFinished)))


async def test_arguments_that_do_not_fit_are_told_to_the_model(
    openai_server: OpenAIServer, runner: AgentRunner
) -> None:
    openai_server.script(calls(("double", {"n": "many"})), calls(("double", "{not json")), says("I give up."))
    await runner.ask(REACT)
    assert [False, False] == [event.ok for event in runner.of(ToolFinished)]
    assert "n" in runner.of(ToolFinished)[0].output


async def test_a_plan_runs_what_can_run_and_hands_results_on(openai_server: OpenAIServer, runner: AgentRunner) -> None:
    steps = [
        {"id": "1", "task": "Double 4", "tool": "double", "arguments": {"n": 4}},
        {"id": "2", "task": "Double that", "tool": "double", "arguments": {"n": "{{1}}"}, "depends_on": ["1"]},
    ]
    openai_server.script(says(json.dumps({"steps": steps})), says('{"enough": true}'), says("It is 16."))
    state = await runner.ask(PLANNER)
    assert ["8", "16"] == [event.output for event in runner.of(ToolFinished)]
    assert "It is 16." == state["said"] == "".join(event.text for event in runner.of(MessageDelta))


async def test_a_plan_that_misses_something_is_made_again_three_times_at_most(
    openai_server: OpenAIServer, runner: AgentRunner
) -> None:
    plan = json.dumps({"steps": [{"id": "1", "task": "Double 4", "tool": "double", "arguments": {"n": 4}}]})
    for _ in range(MAX_ROUNDS):
        openai_server.script(says(plan), says('{"enough": false, "missing": "the rest"}'))
    openai_server.script(says("That is all."))
    state = await runner.ask(PLANNER)
    assert (MAX_ROUNDS, "That is all.") == (len(runner.of(PlanCreated)), state["said"])
    assert MAX_ROUNDS == len(runner.ledger.ended)


@pytest.mark.parametrize("plan", ["I would rather not.", '{"steps": []}', '{"steps": [{"id": 1}]}', "[" * 5000, "{}"])
async def test_a_model_that_makes_no_plan_thinks_instead(
    openai_server: OpenAIServer, runner: AgentRunner, plan: str
) -> None:
    openai_server.script(says(plan), says("It is 8."))
    state = await runner.ask(PLANNER)
    assert "It is 8." == state["said"]
    assert [] == runner.of(PlanCreated)


async def test_steps_that_wait_for_each_other_are_done_all_the_same(
    openai_server: OpenAIServer, runner: AgentRunner
) -> None:
    steps = [
        {"id": "1", "task": "a", "tool": "double", "arguments": {"n": 1}, "depends_on": ["2"]},
        {"id": "2", "task": "b", "tool": "double", "arguments": {"n": 2}, "depends_on": ["1"]},
    ]
    openai_server.script(says(json.dumps({"steps": steps})), says('{"enough": true}'), says("Fine."))
    await runner.ask(PLANNER)
    assert 2 == len(runner.of(ToolFinished))


async def test_the_next_model_answers_when_the_first_fails_before_its_first_word(
    openai_server: OpenAIServer, session: aiohttp.ClientSession, fetch: httpx2.AsyncClient
) -> None:
    provider = OpenAICompatible(session, VENDORS["openai"].at(openai_server.base_url), key="k")
    runner = AgentRunner(provider, fetch, ("first", "second"))
    openai_server.script(fails(500), model="first")
    openai_server.script(says("Here."), model="second")
    state = await runner.ask(REACT)
    assert ("Here.", "test/second") == (state["said"], state["model"])


async def test_a_question_for_no_agent_is_answered_without_a_graph(
    openai_server: OpenAIServer, runner: AgentRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(AgentGraphs, "get", Mock(side_effect=AssertionError("a graph was built")))
    runner.route = Route(None, 0.9, "en", (), "No agent fits.")
    openai_server.script(says("Because of Rayleigh."))
    state: AgentState = {"said": "", "graph": "auto", "intents": []}
    state = await AgentGraphs(None).run("auto", runner.run(REACT), state, Thread("t", "j"), resume=False)
    assert ("Because of Rayleigh.", "chat", "chat") == (state["said"], state["agent"], state["graph"])
    assert [AgentRouted.type, MessageDelta.type] == [event.type for event in runner.emitted]
    assert [event.type for event in runner.emitted] == [name for name, _ in state["trail"]]


async def test_an_unclear_question_is_asked_back(openai_server: OpenAIServer, runner: AgentRunner) -> None:
    runner.route = Route(None, 0.4, "en", (), "unclear", clarify="Debts or shipments?")
    run = runner.run(REACT)
    state: AgentState = {"said": "", "graph": "auto", "intents": []}
    state = await AgentGraphs(None).run("auto", run, state, Thread("t", "j"), resume=False)
    assert "Debts or shipments?" == state["said"] == "".join(event.text for event in runner.of(MessageDelta))
    assert [] == openai_server.records


async def test_an_unclear_question_about_a_file_is_answered(openai_server: OpenAIServer, runner: AgentRunner) -> None:
    runner.route = Route(None, 0.4, "en", (), "unclear", clarify="Debts or shipments?")
    question = Message("user", (TextPart("What is in it?"), FilePart("a.txt", text="The sluice opens at dawn.")))
    run = dataclasses.replace(runner.run(REACT), question=question)
    openai_server.script(says("A sluice."))
    state: AgentState = {"said": "", "graph": "auto", "intents": []}
    state = await AgentGraphs(None).run("auto", run, state, Thread("t", "j"), resume=False)
    assert ("A sluice.", "chat") == (state["said"], state["agent"])
    assert "The sluice opens at dawn." in str(openai_server.records[-1].body["messages"])


@pytest.mark.parametrize("graph", ["supervisor", "auto"])
async def test_a_model_decides_where_the_router_is_unsure(
    openai_server: OpenAIServer, runner: AgentRunner, graph: Literal["supervisor", "auto"]
) -> None:
    intents = (Intent("Doubler", "Double 4."),)
    runner.route = Route("Doubler", 0.5, "en", intents, "unsure", needs_model=True, clarify="Which?", best=())
    openai_server.script(says('{"agent": "none"}'), says("Hello."))
    state: AgentState = {"said": "", "graph": graph, "intents": []}
    state = await AgentGraphs(None).run(graph, runner.run(REACT), state, Thread("t", "j"), resume=False)
    assert ("Hello.", "chat") == (state["said"], state["agent"])
    ((_, counts),) = state["used"].items()
    assert (2, state["input_tokens"]) == (len(openai_server.records), counts[0])


async def test_an_agent_that_a_model_chose_answers_and_both_calls_count(
    openai_server: OpenAIServer, runner: AgentRunner
) -> None:
    intents, best = (Intent("Doubler", "Double 4."),), (Scored("Doubler", 0.5),)
    runner.route = Route("Doubler", 0.5, "en", intents, "unsure", needs_model=True, clarify="Which?", best=best)
    openai_server.script(says('{"agent": "Doubler"}'), calls(("double", {"n": 4})), says("8."))
    state: AgentState = {"said": "", "graph": "auto", "intents": []}
    state = await AgentGraphs(None).run("auto", runner.run(REACT), state, Thread("t", "j"), resume=False)
    assert ("8.", "Doubler", 3) == (state["said"], state["agent"], len(openai_server.records))
    (counts,) = state["used"].values()
    assert (counts[0], counts[1]) == (state["input_tokens"], state["output_tokens"])


async def test_a_question_is_routed_once_before_its_graph_is_run(
    openai_server: OpenAIServer, runner: AgentRunner
) -> None:
    asked: list[str] = []

    async def route(text: str, context: Context) -> Route:
        asked.append(text)
        return Route("Doubler", 0.9, "en", (Intent("Doubler", "Double 4."),), "It fits.")

    openai_server.script(calls(("double", {"n": 4})), says("8."))
    run = dataclasses.replace(runner.run(REACT), route=route)
    state: AgentState = {"said": "", "graph": "auto", "intents": []}
    state = await AgentGraphs(None).run("auto", run, state, Thread("t", "j"), resume=False)
    assert ("8.", "Doubler", ["Double 4."]) == (state["said"], state["agent"], asked)


async def test_a_call_that_cannot_be_prepared_is_not_noted_as_made(
    openai_server: OpenAIServer, runner: AgentRunner
) -> None:
    async def unavailable(call_id: str) -> ToolContext:
        raise Unavailable("Postgres is away.")

    openai_server.script(calls(("double", {"n": 4})))
    run = dataclasses.replace(runner.run(REACT), context=unavailable)
    state: AgentState = {"said": "", "at": 0, "intents": [{"agent": "Doubler", "text": "Double 4."}]}
    with pytest.raises(Unavailable):
        await AgentGraphs(None).run("react", run, state, Thread("t", "j"), resume=False)
    assert [] == runner.ledger.begun


async def test_a_clients_own_tool_ends_the_turn_and_is_left_to_the_client(
    openai_server: OpenAIServer, runner: AgentRunner
) -> None:
    openai_server.script(calls(("open_door", {"door": 3})))
    door = {"type": "function", "function": {"name": "open_door", "parameters": {"type": "object"}}}
    state = await runner.ask(REACT, client_tools=(door,))
    assert ["open_door"] == [call["name"] for call in state["client_calls"]]
    assert {} == runner.ledger.ended


async def test_an_agent_with_tools_answers_in_the_clients_format(
    runner: AgentRunner, openai_server: OpenAIServer
) -> None:
    """The format goes to the model where no tool can be called; before, it would rule the calls out."""
    schema = {"type": "object", "required": ["n"]}
    wanted = {"type": "json_schema", "json_schema": {"name": "s", "schema": schema}}
    openai_server.script(calls(("double", {"n": 4})), says("It is 8."), says('```json\n{"n": 8}\n```'))
    agent = dataclasses.replace(REACT, output_format="structured_json", output_schema=schema)
    state = await runner.ask(agent, request=ModelRequest(model="", messages=(), response_format=wanted))
    assert ('{"n": 8}', {"n": 8}) == (state["said"], state["data"])
    assert [None, None, wanted] == [record.body.get("response_format") for record in openai_server.records]
    assert '{"n": 8}' == "".join(event.text for event in runner.of(MessageDelta))


@pytest.mark.parametrize(
    ("second", "missed"), [("nor this", ["structured_json", "It is not one JSON value."]), ("{}", [])]
)
async def test_an_answer_whose_correction_is_wrong_as_well_says_so(
    runner: AgentRunner, openai_server: OpenAIServer, second: str, missed: list[str]
) -> None:
    openai_server.script(says("no JSON"), says(second))
    state = await runner.ask(dataclasses.replace(REACT, output_format="structured_json", tools=()))
    assert missed == state["missed"]
    assert ("no JSON" if missed else second) == state["said"]


async def test_tokens_are_counted_by_the_model_that_was_called(
    openai_server: OpenAIServer, session: aiohttp.ClientSession, fetch: httpx2.AsyncClient
) -> None:
    """The first model calls a tool and fails then; the second one answers."""
    openai_server.script(calls(("double", {"n": 4})), fails(500), model="first")
    openai_server.script(says("It is 8."), model="second")
    provider = OpenAICompatible(session, VENDORS["openai"].at(openai_server.base_url), key="k")
    state = await AgentRunner(provider, fetch, models=("first", "second")).ask(REACT)
    assert ("It is 8.", "test/second") == (state["said"], state["model"])
    assert ["test/first", "test/second"] == list(state["used"])
    counts = [sum(column) for column in zip(*state["used"].values(), strict=True)]
    assert [state["input_tokens"], state["output_tokens"], *([0] * 6)] == counts
    assert all(read > 0 and written > 0 for read, written, *_ in state["used"].values())
