"""The agents' graphs in one process: what the model says decides which way they go, over the real wire of Ollama and OpenAI."""

import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

import aiohttp
import httpx2
import pytest

from graphs.agents.contract import AgentRun, AgentSpec, CallResult
from graphs.agents.graphs import AgentGraphs, Thread
from graphs.agents.plan_execute import ROUNDS
from graphs.agents.state import AgentState
from graphs.providers.breakers import Breakers
from graphs.providers.contract import Message, ModelRequest, Provider
from graphs.providers.fallback import Choice
from graphs.providers.ollama.provider import Ollama
from graphs.providers.openai.provider import OpenAICompatible
from graphs.providers.openai.vendors import VENDORS
from graphs.providers.prompted_tools.provider import NativeOrPromptedTools
from graphs.routing.contract import Context, Intent, Route
from schema.events import Event, MessageDelta, PlanCreated, ToolFinished, ToolStarted
from tests.counterparts.behaviours import calls, fails, says
from tests.counterparts.ollama_server import OllamaServer
from tests.counterparts.openai_server import OpenAIServer
from tools.contract import FunctionTool, ToolContext, ToolResult, ToolSpec

NUMBER = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


class Ledger:
    """A ledger in memory."""

    def __init__(self) -> None:
        self.ended: dict[str, CallResult] = {}

    async def begin(self, call_id: str, tool: str, *, side_effects: bool) -> CallResult | None:
        return self.ended.get(call_id)

    async def end(self, call_id: str, tool: str, result: CallResult) -> None:
        self.ended[call_id] = result


async def _double(arguments: dict[str, Any], context: ToolContext) -> ToolResult:
    return ToolResult(str(2 * arguments["n"]))


DOUBLE = FunctionTool(ToolSpec(name="double", description="Doubles a number.", parameters=NUMBER), _double)


class Room:
    """One run's surroundings."""

    def __init__(self, provider: Provider, fetch: httpx2.AsyncClient, models: Sequence[str] = ("scripted",)) -> None:
        self.told: list[Event] = []
        self.ledger = Ledger()
        wrapped = NativeOrPromptedTools(provider)
        self._chain = [Choice(wrapped, name, f"test/{name}", f"test/{name}") for name in models]
        self._fetch = fetch
        self.route: Route | None = None

    def run(self, *agents: AgentSpec, text: str = "Double 4.", **fields: Any) -> AgentRun:
        async def chain(agent: AgentSpec) -> list[Choice]:
            return self._chain

        async def route(text: str, context: Context) -> Route:
            assert self.route is not None
            return self.route

        return AgentRun(
            agents={agent.name: agent for agent in agents},
            tools={"double": DOUBLE},
            question=Message.of("user", text),
            history=(),
            request=ModelRequest(model="", messages=()),
            chain=chain,
            route=route,
            ledger=self.ledger,
            context=lambda call_id: ToolContext(
                tenant_id="t", user_id="u", job_id="j", call_id=call_id, fetch=self._fetch
            ),
            emit=self.told.append,
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
        return [event for event in self.told if isinstance(event, kind)]


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as opened:
        yield opened


@pytest.fixture
async def fetch() -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient() as opened:
        yield opened


@pytest.fixture
async def openai() -> AsyncIterator[OpenAIServer]:
    async with OpenAIServer() as server:
        yield server


@pytest.fixture
def room(openai: OpenAIServer, session: aiohttp.ClientSession, fetch: httpx2.AsyncClient) -> Room:
    return Room(OpenAICompatible(session, VENDORS["openai"].at(openai.base_url), key="k"), fetch)


REACT = AgentSpec(name="Doubler", graph="react", tools=("double",))
PLANNER = AgentSpec(name="Planner", graph="plan_execute", tools=("double",))


async def test_ollamas_models_call_tools_over_its_own_wire(
    session: aiohttp.ClientSession, fetch: httpx2.AsyncClient
) -> None:
    async with OllamaServer() as server:
        server.script(calls(("double", {"n": 4})), says("It is 8."))
        room = Room(Ollama(session, server.url), fetch)
        ended = await room.ask(REACT)
    assert "It is 8." == ended["said"]
    assert [("double", {"n": 4})] == [(event.name, event.arguments) for event in room.of(ToolStarted)]
    assert ["8"] == [event.output for event in room.of(ToolFinished)]


async def test_calls_that_come_together_are_made_side_by_side_under_ids_of_our_own(
    openai: OpenAIServer, room: Room
) -> None:
    openai.script(calls(("double", {"n": 1}), ("double", {"n": 2})), calls(("double", {"n": 3})), says("Done."))
    await room.ask(REACT)
    assert ["call_0_1_0", "call_0_1_1", "call_0_2_0"] == list(room.ledger.ended)
    shown = openai.records[-1].body["messages"]
    assert ["2", "4", "6"] == [message["content"] for message in shown if message["role"] == "tool"]


async def test_a_model_that_never_stops_calling_is_asked_for_its_answer(openai: OpenAIServer, room: Room) -> None:
    openai.answer_with(lambda body: calls(("double", {"n": 1})) if body.get("tools") else says("Enough."))
    ended = await room.ask(AgentSpec(name="Doubler", graph="react", tools=("double",), max_steps=3))
    assert ("Enough.", 3) == (ended["said"], len(room.of(ToolFinished)))


async def test_arguments_that_do_not_fit_are_told_to_the_model(openai: OpenAIServer, room: Room) -> None:
    openai.script(calls(("double", {"n": "many"})), calls(("double", "{not json")), says("I give up."))
    await room.ask(REACT)
    assert [False, False] == [event.ok for event in room.of(ToolFinished)]
    assert "n" in room.of(ToolFinished)[0].output


async def test_a_plan_runs_what_can_run_and_hands_results_on(openai: OpenAIServer, room: Room) -> None:
    steps = [
        {"id": "1", "task": "Double 4", "tool": "double", "arguments": {"n": 4}},
        {"id": "2", "task": "Double that", "tool": "double", "arguments": {"n": "{{1}}"}, "depends_on": ["1"]},
    ]
    openai.script(says(json.dumps({"steps": steps})), says('{"enough": true}'), says("It is 16."))
    ended = await room.ask(PLANNER)
    assert ["8", "16"] == [event.output for event in room.of(ToolFinished)]
    assert "It is 16." == ended["said"] == "".join(event.text for event in room.of(MessageDelta))


async def test_a_plan_that_misses_something_is_made_again_three_times_at_most(openai: OpenAIServer, room: Room) -> None:
    plan = json.dumps({"steps": [{"id": "1", "task": "Double 4", "tool": "double", "arguments": {"n": 4}}]})
    for _ in range(ROUNDS):
        openai.script(says(plan), says('{"enough": false, "missing": "the rest"}'))
    openai.script(says("That is all."))
    ended = await room.ask(PLANNER)
    assert (ROUNDS, "That is all.") == (len(room.of(PlanCreated)), ended["said"])
    assert ROUNDS == len(room.ledger.ended)


@pytest.mark.parametrize("plan", ["I would rather not.", '{"steps": []}', '{"steps": [{"id": 1}]}', "[" * 5000, "{}"])
async def test_a_model_that_makes_no_plan_thinks_instead(openai: OpenAIServer, room: Room, plan: str) -> None:
    openai.script(says(plan), says("It is 8."))
    ended = await room.ask(PLANNER)
    assert "It is 8." == ended["said"]
    assert [] == room.of(PlanCreated)


async def test_steps_that_wait_for_each_other_are_done_all_the_same(openai: OpenAIServer, room: Room) -> None:
    steps = [
        {"id": "1", "task": "a", "tool": "double", "arguments": {"n": 1}, "depends_on": ["2"]},
        {"id": "2", "task": "b", "tool": "double", "arguments": {"n": 2}, "depends_on": ["1"]},
    ]
    openai.script(says(json.dumps({"steps": steps})), says('{"enough": true}'), says("Fine."))
    await room.ask(PLANNER)
    assert 2 == len(room.of(ToolFinished))


async def test_the_next_model_answers_when_the_first_fails_before_its_first_word(
    openai: OpenAIServer, session: aiohttp.ClientSession, fetch: httpx2.AsyncClient
) -> None:
    provider = OpenAICompatible(session, VENDORS["openai"].at(openai.base_url), key="k")
    room = Room(provider, fetch, ("first", "second"))
    openai.script(fails(500), model="first")
    openai.script(says("Here."), model="second")
    ended = await room.ask(REACT)
    assert ("Here.", "test/second") == (ended["said"], ended["model"])


async def test_an_unclear_question_is_asked_back(openai: OpenAIServer, room: Room) -> None:
    room.route = Route(None, 0.4, "en", (), "unclear", clarify="Debts or shipments?")
    run = room.run(REACT)
    state: AgentState = {"said": "", "graph": "auto", "intents": []}
    ended = await AgentGraphs(None).run("auto", run, state, Thread("t", "j"), resume=False)
    assert "Debts or shipments?" == ended["said"] == "".join(event.text for event in room.of(MessageDelta))
    assert [] == openai.records


async def test_a_model_decides_where_the_router_is_unsure(openai: OpenAIServer, room: Room) -> None:
    intents = (Intent("Doubler", "Double 4."),)
    room.route = Route("Doubler", 0.5, "en", intents, "unsure", needs_model=True, clarify="Which?", best=())
    openai.script(says('{"agent": "none"}'), says("Hello."))
    state: AgentState = {"said": "", "graph": "supervisor", "intents": []}
    ended = await AgentGraphs(None).run("supervisor", room.run(REACT), state, Thread("t", "j"), resume=False)
    assert ("Hello.", "chat") == (ended["said"], ended["agent"])


async def test_a_clients_own_tool_ends_the_turn_and_is_left_to_the_client(openai: OpenAIServer, room: Room) -> None:
    openai.script(calls(("open_door", {"door": 3})))
    door = {"type": "function", "function": {"name": "open_door", "parameters": {"type": "object"}}}
    ended = await room.ask(REACT, client_tools=(door,))
    assert ["open_door"] == [call["name"] for call in ended["client_calls"]]
    assert {} == room.ledger.ended
