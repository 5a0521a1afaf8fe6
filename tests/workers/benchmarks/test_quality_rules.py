"""Reading datasets, judging answers by rule, and what judged questions add up to: figures that can be worked out by hand."""

import math
from typing import Any

import pytest

from schema.errors import InputError
from schema.queries.benchmarks.datasets import JudgedItem
from tests.waiting import not_for_ever
from workers.benchmarks.quality.checks import judge_by_rule, read_number
from workers.benchmarks.quality.items import ExpectedAnswer, read_csv, read_jsonl
from workers.benchmarks.quality.judge import read_verdict
from workers.benchmarks.quality.summary import changes, rank_figures, summarize_quality, wilson


def judged(place: int, correct: bool | None, **outcome: Any) -> JudgedItem:
    return JudgedItem(place=place, question=f"q{place}", correct=correct, outcome=outcome, attempt=1)


@pytest.mark.parametrize(
    ("expected", "right", "wrong"),
    [
        ({"check": "exact", "value": "Hà Nội"}, ["hà  nội", "Ha\u0300 Nô\u0323i\n"], ["Hà Nội!", "Hanoi", ""]),
        ({"check": "contains", "value": "36 months"}, ["It lasts 36\nMonths."], ["36 weeks"]),
        ({"check": "regex", "value": r"^VD\d{4}$"}, ["VD1007"], ["VD100", "the VD1007"]),
        ({"check": "number", "value": 391}, ["It is 391.", "391"], ["390.9", "none", "3 9 1"]),
        ({"check": "number", "value": 1234.5, "tolerance": 0.5}, ["1,234.9 dong", "about 1235"], ["1,236"]),
        (
            {"check": "json_schema", "value": {"type": "object", "required": ["a"]}},
            ['{"a": 1}', 'Here:\n```json\n{"a": 2}\n```'],
            ['{"b": 1}', "not json", "[1]", "[" * 100_000],
        ),
    ],
    ids=lambda value: value["check"] if isinstance(value, dict) else "",
)
def test_an_answer_is_judged_by_its_rule(expected: dict[str, Any], right: list[str], wrong: list[str]) -> None:
    rule = ExpectedAnswer(**expected)
    assert [True] * len(right) == [judge_by_rule(rule, answer) for answer in right]
    assert [False] * len(wrong) == [judge_by_rule(rule, answer) for answer in wrong]


@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|a)*b", "(.*)*x", "a{1,1000}b"])
def test_no_pattern_takes_long(pattern: str) -> None:
    with not_for_ever():
        for _ in range(50):
            judge_by_rule(ExpectedAnswer(check="regex", value=pattern), "a" * 100_000 + "!")


def test_numbers_are_read_as_people_write_them() -> None:
    assert [1234.5, -3, 0.001, None] == [read_number(text) for text in ("1,234.5", "x -3", "1e-3", "none")]


def test_jsonl_is_read_and_broken_lines_are_named() -> None:
    text = '{"question": "a", "agent": "x"}\n\n{"question": "b", "passages": ["p"]}\n'
    assert [("a", "x", []), ("b", None, ["p"])] == [
        (item.question, item.agent, item.passages) for item in read_jsonl(text)
    ]
    broken = [
        '{"question": "a"}',
        "{not json",
        '{"question": "", "agent": "x"}',
        '{"question": "a", "colour": 1}',
        '{"question": "a", "answer": {"check": "number", "value": "seven"}}',
        '{"question": "a", "answer": {"check": "regex", "value": "(?=a)b"}}',
        '{"question": "a", "answer": {"check": "json_schema", "value": {"type": 7}}}',
        '{"question": "a", "answer": {"check": "judge"}}',
    ]
    with pytest.raises(InputError) as refused:
        read_jsonl("\n".join(['{"question": "fine", "agent": "x"}', *broken]))
    for number, said in enumerate(("an agent, passages", "", "", "colour", "number", "regular", "schema", "rubric"), 2):
        assert f"line {number}: " in refused.value.message
        assert said in refused.value.message
    assert "line 1:" not in refused.value.message
    assert "Nothing was stored." in refused.value.message


def test_csv_is_read_and_broken_lines_are_named() -> None:
    head = "question,agent,passages,check,value,tolerance,rubric\n"
    text = f'{head}"How much, please?",AgentDebt,,,,,\nwhere,,P-200.md|warranty,,,,\nsum,,,number,391,0.5,\n'
    first, second, third = read_csv(text)
    assert ("How much, please?", "AgentDebt") == (first.question, first.agent)
    assert ["P-200.md", "warranty"] == second.passages
    assert third.answer == ExpectedAnswer(check="number", value=391, tolerance=0.5)
    with pytest.raises(InputError) as refused:
        read_csv(f"{head}a,x,,,,,\nb,,,number,seven,,\nc,d\n,x,,,,,\n")
    for number in (3, 4, 5):
        assert f"line {number}: " in refused.value.message
    with pytest.raises(InputError, match="line 1: unknown column 'colour'"):
        read_csv("question,colour\na,b\n")


def test_accuracy_has_an_interval() -> None:
    low, high = wilson(8, 10)
    assert (0.490, 0.943) == (round(low, 3), round(high, 3))
    found = summarize_quality("answers", [*(judged(n, n < 8) for n in range(10)), judged(10, None)])
    assert (10, 8, 1, 0.8) == tuple(found[name] for name in ("judged", "correct", "undecided", "accuracy"))


def test_routing_has_a_confusion_table_and_a_calibration() -> None:
    items = [
        judged(0, True, expected="A", found="A", confidence=0.95, sure=True),
        judged(1, True, expected="A", found="A", confidence=0.93, sure=True),
        judged(2, False, expected="A", found="B", confidence=0.91, sure=True),
        judged(3, False, expected="B", found="chat", confidence=0.2, sure=False),
    ]
    found = summarize_quality("routing", items)
    assert {"A": {"A": 2, "B": 1}, "B": {"chat": 1}} == found["confusion"]
    assert (0.75, pytest.approx(2 / 3)) == (found["sure"], found["accuracy_if_sure"])
    assert [(0.2, 1, 0.0), (0.9, 3, pytest.approx(2 / 3))] == [
        (one["from"], one["n"], one["accuracy"]) for one in found["calibration"]
    ]
    assert pytest.approx((0.2 + 3 * (0.93 - 2 / 3)) / 4) == found["calibration_error"]


@pytest.mark.parametrize(
    ("ranks", "figures"),
    [
        ([1], (1.0, 1.0, 1.0)),
        ([3], (1.0, 1 / 3, 0.5)),
        ([None], (0.0, 0.0, 0.0)),
        ([2, None], (0.5, 0.5, (1 / math.log2(3)) / (1 + 1 / math.log2(3)))),
    ],
)
def test_retrieval_is_judged_by_the_ranks_of_what_was_wanted(
    ranks: list[int | None], figures: tuple[float, ...]
) -> None:
    found = rank_figures(ranks, 10)
    assert pytest.approx(figures) == (found["recall"], found["reciprocal_rank"], found["ndcg"])


def test_two_runs_are_compared_question_by_question() -> None:
    before = [judged(0, True), judged(1, False), judged(2, True), judged(3, None)]
    after = [judged(0, False), judged(1, True), judged(2, True), judged(4, True)]
    told = changes(before, after)
    assert (3, 1, 1) == (told["compared"], told["only_here"], told["only_there"])
    assert [["q1"], ["q0"]] == [[new.question for _, new in told[name]] for name in ("became_right", "became_wrong")]


@pytest.mark.parametrize(
    ("reply", "verdict"),
    [
        ('{"reason": "yes", "correct": true}', True),
        ('Well: {"correct": false}', False),
        ("It is correct.", None),
        ('{"correct": "true"}', None),
        ("{broken", None),
    ],
)
def test_a_judge_is_believed_only_in_the_form_that_was_asked_for(reply: str, verdict: bool | None) -> None:
    assert verdict is read_verdict(reply)[0]
