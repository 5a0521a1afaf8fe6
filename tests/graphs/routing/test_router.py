"""What the router decides, one case at a time; how often it is right is `tests/routing/test_accuracy.py`."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

import pytest

from graphs.embeddings.registry import open_embedder, routing_embedder, routing_glance
from graphs.routing import router as router_module
from graphs.routing import semantic
from graphs.routing.candidate_set import CandidateSet
from graphs.routing.contract import Candidate, Context, Intent, Route
from graphs.routing.graph_choice import choose_graph, choose_task
from graphs.routing.router import Router
from graphs.routing.semantic import WordVectorEmbedder
from graphs.routing.small_talk import SMALL_TALK_NAME
from schema.errors import HeadraceError
from tests.routing.labelled import read_agents

EMBEDDER, GLANCE = routing_embedder(open_embedder()), routing_glance()
AGENTS = read_agents()
DEBT = "What does customer 0104985841 still owe us in unpaid invoices?"
INVENTORY = Candidate(
    "AgentInventory",
    "Stock in the warehouses: quantities on hand and what must be reordered. Tồn kho trong các kho.",
    (
        "How many boxes of A4 paper are left?",
        "Which articles are nearly sold out?",
        "Trong kho còn bao nhiêu thùng giấy?",
    ),
)


class FailingEmbedder:
    """An embedder that is down."""

    english_only = False

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        raise HeadraceError("down")


class RecordingEmbedder:
    """Remembers what it was given."""

    english_only = False

    def __init__(self) -> None:
        self.texts: list[str] = []

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        self.texts += texts
        return await EMBEDDER.embed(texts)


@lru_cache
def prepared() -> Router:
    made = Router(EMBEDDER, glance=GLANCE)
    asyncio.run(made.prepare(AGENTS))
    return made


@pytest.fixture
def router() -> Router:
    return prepared()


def agents_of(route: Route) -> list[str]:
    return [intent.agent for intent in route.intents]


async def test_a_question_goes_to_the_agent_it_is_for(router: Router):
    route = await router.route("What is the debt for customer MST 0104985841?", AGENTS)
    assert ("AgentDebt", "en", None) == (route.agent, route.language, route.clarify)
    assert (Intent("AgentDebt", "What is the debt for customer MST 0104985841?"),) == route.intents


async def test_what_belongs_to_nobody_is_plain_chat(router: Router):
    route = await router.route("viết cho mình một bài thơ về mùa xuân", AGENTS)
    assert (None, (), None, "chat") == (route.agent, route.intents, route.clarify, choose_task(route))


@pytest.mark.parametrize(
    ("utterance", "agent"),
    [
        ("The vessel was late and customs is slow; anyway, how much does Lotte still owe us?", "AgentDebt"),
        ("I don't want to know what they owe, only where their container is", "AgentShipment"),
        ("Không phải hỏi nợ đâu, chỉ cần biết hàng tới cảng chưa", "AgentShipment"),
    ],
)
async def test_what_is_told_beside_a_question_or_not_wanted_decides_nothing(router: Router, utterance: str, agent: str):
    route = await router.route(utterance, AGENTS)
    assert (agent, [agent], utterance) == (route.agent, agents_of(route), route.intents[0].text)


@pytest.mark.parametrize(
    "utterance", ["What does the word debt mean, in general?", "Who invented the shipping container?"]
)
async def test_what_everybody_knows_is_no_agents_although_the_words_are(router: Router, utterance: str):
    assert (await router.route(utterance, AGENTS)).agent is None


async def test_who_answered_before_is_found_from_what_was_asked_before(router: Router):
    route = await router.route("and the other one?", AGENTS, Context(None, ("where is our container from Busan?",)))
    assert "AgentShipment" == route.agent


async def test_two_requests_are_two_intents_in_their_order(router: Router):
    route = await router.route("đọc chữ trong ảnh này, sau đó xem công nợ của khách hàng 0104985841", AGENTS)
    assert ["AgentOCR", "AgentDebt"] == agents_of(route)
    assert "công nợ" in route.intents[1].text


async def test_something_vague_gets_one_question_in_its_language(router: Router):
    route = await router.route("kiểm tra giúp em với", AGENTS)
    assert route.agent is None
    assert route.clarify is not None
    assert 1 == route.clarify.count("?")
    assert "bạn" in route.clarify.lower()


async def test_an_afterthought_goes_on_with_the_last_agent(router: Router):
    route = await router.route("and the other one?", AGENTS, Context("AgentShipment", ("where is SHP-1001",)))
    assert "AgentShipment" == route.agent


async def test_a_last_agent_that_may_no_longer_be_used_is_not_gone_on_with(router: Router):
    route = await router.route("and the other one?", AGENTS, Context("AgentGone", ("where is SHP-1001",)))
    assert "AgentGone" not in agents_of(route)


async def test_a_code_alone_goes_to_the_only_agent_that_knows_such_codes(router: Router):
    assert "AgentShipment" == (await router.route("MSCU7654321", AGENTS)).agent


async def test_the_language_of_a_code_is_that_of_the_message_before(router: Router):
    route = await router.route("MSCU7654321", AGENTS, Context(None, ("lô hàng ở đâu",)))
    assert "vi" == route.language


async def test_without_agents_or_words_it_is_plain_chat():
    router = Router(None)
    assert [None, None, None] == [
        (await router.route(*asked)).agent for asked in (("where is it", ()), ("", AGENTS), ("\0\u200b ", AGENTS))
    ]


@pytest.mark.parametrize("utterance", ["do we still have printer paper", "mặt hàng nào trong kho sắp hết"])
async def test_an_agent_made_a_moment_ago_is_found(router: Router, utterance: str):
    agents = (*AGENTS, INVENTORY)
    await router.prepare(agents)
    assert "AgentInventory" == (await router.route(utterance, agents)).agent


async def test_an_agent_that_is_gone_is_not_routed_to(router: Router):
    rest = tuple(agent for agent in AGENTS if agent.name != "AgentOCR")
    assert "AgentOCR" not in agents_of(await router.route("OCR this scan.png please", rest))


async def test_an_example_learned_from_feedback_counts_at_once(router: Router):
    utterance = "how is the weather over the Hai Van pass for the trucks"
    before = await router.route(utterance, AGENTS)
    corrected = tuple(
        replace(a, examples=(*a.examples, "what is the weather on the road over the pass")) if "Ship" in a.name else a
        for a in AGENTS
    )
    after = await router.route(utterance, corrected)
    scores = [{s.agent: s.score for s in route.best}.get("AgentShipment", 0.0) for route in (before, after)]
    assert scores[1] > scores[0]


async def test_what_was_learned_to_be_nobodys_is_nobodys(router: Router):
    utterance = "read the lines in the picture of my palm"
    small_talk = Candidate(SMALL_TALK_NAME, "", ("read all the lines in the picture of my palm please",))
    before, after = await router.route(utterance, AGENTS), await router.route(utterance, (*AGENTS, small_talk))
    assert "AgentOCR" == before.agent
    assert after.best[0].score < before.best[0].score


@pytest.mark.parametrize(("owner", "agent"), [("AgentAnalysis", "AgentAnalysis"), (SMALL_TALK_NAME, None)])
async def test_what_was_corrected_once_is_right_from_then_on(router: Router, owner: str, agent: str | None):
    corrected = (*AGENTS[:2], *(c for c in AGENTS[2:] if c.name != owner))
    mine = next((c for c in AGENTS if c.name == owner), Candidate(owner, ""))
    learned = replace(mine, examples=(*mine.examples, "Who owns the debt of Greece?"))
    assert agent == (await router.route("who owns the debt of Greece", (*corrected, learned))).agent


@pytest.mark.parametrize(("utterance", "agent"), [("Write a short poem about a river", None), (DEBT, "AgentDebt")])
async def test_what_is_clear_at_a_glance_is_not_embedded(utterance: str, agent: str | None):
    embedder = RecordingEmbedder()
    router = Router(embedder, glance=GLANCE)
    assert agent == (await router.route(utterance, AGENTS)).agent
    assert [] == embedder.texts


@pytest.mark.parametrize("glance", [None, GLANCE])
async def test_an_embedder_that_is_down_leaves_the_words(glance: WordVectorEmbedder | None):
    router = Router(FailingEmbedder(), glance=glance)
    assert "AgentDebt" == (await router.route("kiểm tra công nợ quá hạn", AGENTS)).agent
    assert "AgentShipment" == (await router.route("where is our container now", AGENTS)).agent


async def test_one_new_example_costs_one_embedding():
    embedder = RecordingEmbedder()
    router = Router(embedder)
    await router.prepare(AGENTS)
    embedder.texts.clear()
    changed = (replace(AGENTS[0], examples=(*AGENTS[0].examples, "who still has to pay the toll")), *AGENTS[1:])
    await router.prepare(changed)
    assert ["who still has to pay the toll"] == embedder.texts


async def test_an_unknown_set_is_routed_by_words_while_its_vectors_are_made():
    router = Router(RecordingEmbedder())
    assert "AgentDebt" == (await router.route("liệt kê công nợ quá hạn của khách hàng", AGENTS)).agent


async def test_sets_of_candidates_that_are_not_used_are_forgotten(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(router_module, "MAX_CACHED_ITEMS", 400)
    router = Router(None)
    for number in range(12):
        await router.route("hello", [Candidate(f"A{number}", "Trees", ("oak", "ash", "elm"))])
    cached = list(router._candidate_sets)
    assert 1 < len(cached) < 12
    assert sum(len(CandidateSet(candidates).items) for candidates in cached) <= 400
    assert "A11" == cached[-1][0].name


async def test_vectors_of_texts_that_are_not_used_are_forgotten(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(semantic, "MAX_CACHED_TEXTS", 10)
    vectors = semantic.VectorCache(EMBEDDER)
    texts = [f"text {number}" for number in range(30)]
    await vectors.embed_examples(texts)
    assert 10 == sum(text in vectors._cache for text in texts)


async def test_a_very_long_message_is_looked_at_in_part_and_handed_on_whole():
    embedder = RecordingEmbedder()
    router = Router(embedder)
    await router.prepare(AGENTS)
    embedder.texts.clear()
    utterance = "I would like to tell you a long story first. " * 440 + "Now: which invoices of 0104985841 are overdue?"
    route = await router.route(utterance, AGENTS)
    assert ("AgentDebt", utterance) == (route.agent, route.intents[0].text)
    assert sum(map(len, embedder.texts)) <= 2 * semantic.MAX_UTTERANCE_CHARS


@pytest.mark.parametrize(
    "utterance", ["\ud800 nợ", "🚢" * 900, "a" * 50_000, "‹tax_code›", "\u0301" * 400, "?!.,;" * 200, "và " * 300]
)
async def test_strange_texts_are_routed_somewhere(router: Router, utterance: str):
    assert isinstance(await router.route(utterance, AGENTS), Route)


async def test_the_probabilities_of_a_decision_are_probabilities(router: Router):
    route = await router.route("compare the invoice photo with the contract", AGENTS)
    assert all(0 <= one.score <= 1 for one in route.best)
    assert 0 <= route.confidence <= 1


@pytest.mark.parametrize(
    ("utterance", "graph"),
    [
        ("compare the debts of 0104985841 and 0105556667", "plan_execute"),
        ("so sánh công nợ của 0104985841 và 0105556667", "plan_execute"),
        ("- debt of Minh Long\n- shipments of Minh Long", "plan_execute"),
        ("where is SHP-20394", "react"),
        ("find out why the shipment is late", "react"),
        ("first look up the customer, then list the invoices", "react"),
        ("nếu khách còn nợ thì xem hóa đơn nào quá hạn", "react"),
    ],
)
def test_several_independent_parts_are_planned_and_all_else_is_explored(utterance: str, graph: str):
    assert graph == choose_graph(utterance)
