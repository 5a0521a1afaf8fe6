"""The router's accuracy on utterances and agents that no weight was fitted on. For times, run `python -m tests.routing`."""

import asyncio
import os
import re
from functools import lru_cache

import pytest

from graphs.embeddings.registry import open_embedder, routing_embedder, routing_glance
from graphs.language.tokenization import fold, normalise
from graphs.routing.ambiguity import AMBIGUOUS
from graphs.routing.router import Router
from graphs.routing.small_talk import SMALL_TALK
from graphs.routing.weights import GLANCE_WEIGHTS, LEXICAL_WEIGHTS, SEMANTIC_WEIGHTS
from tests.routing.fitting import fit
from tests.routing.labelled import read_agents, read_half, read_utterances, with_learned_examples
from tests.routing.measurement import RoutingResults, measure
from tests.routing.others_measurement import OthersResults, measure_others

FULL = os.environ.get("HEADRACE_TESTS") == "full"
MAX_OVERLAP = 0.65
EMBEDDER, GLANCE = routing_embedder(open_embedder()), routing_glance()


@lru_cache
def held_out() -> RoutingResults:
    """The held-out half, with the fitting half as learned examples."""
    agents = with_learned_examples(read_agents(), read_half("fitting"))
    return asyncio.run(measure(Router(EMBEDDER, glance=GLANCE), read_half("held_out"), agents))


@lru_cache
def rows_alone() -> RoutingResults:
    """The held-out half, with the agents' rows alone."""
    return asyncio.run(measure(Router(EMBEDDER, glance=GLANCE), read_half("held_out"), read_agents()))


@lru_cache
def unseen() -> RoutingResults:
    """Agents that no fit has seen, with three examples each."""
    return asyncio.run(measure(Router(EMBEDDER, glance=GLANCE), read_utterances("unseen"), read_agents("unseen")))


def test_of_a_hundred_held_out_utterances_ninety_five_are_routed_right():
    assert held_out().share() >= 0.95


@pytest.mark.parametrize(
    ("key", "minimum"), [("en", 0.93), ("vi", 0.93), ("typo", 0.85), ("bare", 0.85), ("mixed", 0.85)]
)
def test_no_language_and_no_way_of_typing_is_left_behind(key: str, minimum: float):
    assert held_out().share(key) >= minimum


@pytest.mark.parametrize("key", ["debt", "shipment", "analysis", "ocr", "chat", "several", "follow", "unclear"])
def test_no_kind_of_utterance_is_left_behind(key: str):
    assert held_out().share(key) >= 0.85


def test_the_language_is_told_right():
    assert held_out().languages_right >= 0.98 * held_out().counts["all"]


def test_rows_alone_route_nearly_as_well_as_rows_that_have_learned():
    assert rows_alone().share() >= 0.93


@pytest.mark.parametrize(("key", "minimum"), [("en", 0.95), ("vi", 0.9)])
def test_new_agents_with_three_examples_route_right_without_new_weights(key: str, minimum: float):
    assert unseen().share(key) >= minimum


def test_words_alone_still_route_most():
    results = asyncio.run(measure(Router(None), read_half("held_out"), read_agents()))
    assert results.share() >= 0.8


def test_the_labelled_set_is_large_and_in_both_languages():
    every = (*read_half("fitting"), *read_half("held_out"))
    counts = {language: sum(one.language == language for one in every) for language in ("en", "vi")}
    assert len(every) >= 320
    assert min(counts.values()) >= 160
    assert {"plain", "typo", "bare", "mixed"} <= {one.style for one in read_half("held_out")}


def test_the_halves_do_not_repeat_each_other():
    built_in = (*SMALL_TALK.examples, *AMBIGUOUS.examples)
    seen = [one.text for one in read_half("fitting")] + [e for c in read_agents() for e in c.examples] + [*built_in]
    marked = [(text, _grams(text)) for text in seen if len(text.split()) > 2]
    alike = [
        (one.text, text)
        for one in read_half("held_out")
        for text, grams in marked
        if _share(grams, _grams(one.text)) >= MAX_OVERLAP
    ]
    assert [] == alike


def test_no_number_of_the_held_out_half_was_seen_in_fitting():
    def numbers(texts: list[str]) -> set[str]:
        return set(re.findall(r"\d{5,}", " ".join(texts)))

    examples = [example for agent in read_agents() for example in agent.examples]
    fitting = numbers([one.text for one in read_half("fitting")] + examples)
    assert set() == fitting & numbers([one.text for one in read_half("held_out")])


@lru_cache
def seen_of_others() -> OthersResults:
    """The half of others' utterances that may be looked at."""
    return asyncio.run(measure_others(Router(EMBEDDER, glance=GLANCE), "seen", every=1 if FULL else 4))


def test_what_others_ask_is_routed_right():
    assert seen_of_others().share("right") >= (0.82 if FULL else 0.78)


def test_what_the_router_is_sure_of_is_right():
    assert seen_of_others().share("right of sure") >= (0.92 if FULL else 0.88)


@pytest.mark.skipif(not FULL, reason="fits for two minutes")
def test_the_weights_are_those_that_the_fitting_halves_give():
    found = asyncio.run(fit())
    fitted = (found.lexical, found.glance, found.semantic)
    for weights, anew in zip((LEXICAL_WEIGHTS, GLANCE_WEIGHTS, SEMANTIC_WEIGHTS), fitted, strict=True):
        assert list(weights) == pytest.approx(anew, abs=0.05)


def _share(one: frozenset[str], other: frozenset[str]) -> float:
    if min(len(one), len(other)) < MAX_OVERLAP * max(len(one), len(other)):
        return 0.0
    return len(one & other) / len(one | other)


@lru_cache(maxsize=4096)
def _grams(text: str) -> frozenset[str]:
    plain = f" {re.sub(r'[^a-z0-9]+', ' ', fold(normalise(text))).strip()} "
    return frozenset(plain[i : i + 4] for i in range(len(plain) - 3))
