"""The offline model: what it quotes, what it says of itself, how it stops and how fast it goes."""

import asyncio

import pytest

from graphs.providers.contract import Finished, Message, ModelRequest
from graphs.providers.offline.provider import Offline, answer, pick_sentences, sentences, split_tokens, words
from tests.graphs.model_requests import ask, collect, text_of
from tests.waiting import not_for_ever

POND = "The pond holds 400 litres. Ducks visit in May. The pump takes 12 litres a minute. Nobody swims there."


def quotes_of(question: str) -> list[str]:
    return [line[2:] for line in question.split("\n") if line.startswith("> ")]


def test_a_greeting_is_answered_with_what_it_can_do():
    for question in ("Hello!", "hi", "What can you do?"):
        assert answer([Message.of("user", question)]).startswith("Hello! I can look things up")
    assert answer([Message.of("user", "Xin chào!")]).startswith("Xin chào! Tôi có thể tra cứu")


def test_it_quotes_the_sentences_that_share_words_with_the_question_in_their_order():
    question = answer(
        [Message.of("system", POND), Message.of("user", "How many litres does the pump take from the pond?")]
    )

    assert quotes_of(question) == ["The pond holds 400 litres.", "The pump takes 12 litres a minute."]


def test_the_passage_may_stand_in_the_same_message_as_the_question():
    question = answer([Message.of("user", f"{POND} When do the ducks visit?")])

    assert quotes_of(question) == ["Ducks visit in May."]


def test_vietnamese_is_understood_word_by_word_in_either_unicode_form():
    text = "Kho Hà Nội mở cửa lúc 8 giờ. Kho Đà Nẵng đóng cửa ngày chủ nhật. Giá vận chuyển là 20 nghìn."
    decomposed = "Kho Hà Nội mở cửa lúc mấy giờ?"

    question = answer([Message.of("system", text), Message.of("user", decomposed)])

    assert quotes_of(question)[0] == "Kho Hà Nội mở cửa lúc 8 giờ."
    assert "Giá vận chuyển là 20 nghìn." not in quotes_of(question)


def test_with_nothing_to_quote_it_says_in_a_sentence_that_it_cannot_help_and_what_would():
    question = answer([Message.of("system", POND), Message.of("user", "Who wrote Faust?")])

    assert len(sentences(question)) == 1
    assert question.startswith("I can't answer that without a language model: connect one, or ")


def test_an_answer_begins_with_what_was_asked_for():
    question = answer([Message.of("system", POND), Message.of("user", "When do ducks visit?")])

    assert question == "> Ducks visit in May."


def test_a_heading_that_only_repeats_the_question_is_not_quoted():
    text = "Business trips\nTrips abroad are approved by the managing director."

    question = answer([Message.of("system", text), Message.of("user", "Who approves business trips?")])

    assert quotes_of(question) == ["Trips abroad are approved by the managing director."]


@pytest.mark.parametrize("question", ["", "   ", "\n\n", "???", "🙂"])
def test_an_odd_message_gets_an_answer_all_the_same(question: str):
    assert answer([Message.of("user", question)])


def test_no_message_at_all_gets_an_answer():
    assert answer([]) == "There was no question to answer; ask one in words."


def test_its_own_earlier_answers_are_not_quoted():
    first = answer([Message.of("system", POND), Message.of("user", "When do ducks visit?")])

    question = answer([Message.of("assistant", first), Message.of("user", "Do ducks visit in June?")])

    assert quotes_of(question) == []


def test_stop_words_alone_are_nothing_to_go_by():
    assert pick_sentences("what is the", ["This is the way.", "The end is near."]) == []


def test_rare_words_weigh_more_than_common_ones():
    at_hand = ["Order A is late.", "Order B is late.", "Order C is paid.", "Order D is late."]

    assert pick_sentences("Which order is paid?", at_hand) == ["Order C is paid."]


def test_a_plural_meets_its_singular():
    assert words("Ducks") == words("duck")
    assert words("glass") != words("glas")


def test_a_number_with_a_point_does_not_end_a_sentence():
    assert sentences("It costs 3.50 now. Good!") == ["It costs 3.50 now.", "Good!"]


@pytest.mark.parametrize(
    "question", ["." * 300_000 + "x", "a" * 300_000, "a." * 150_000, " " * 300_000, "?! " * 100_000]
)
def test_a_hostile_message_does_not_hold_up_the_worker(question: str):
    with not_for_ever():  # a quadratic search takes minutes
        answer([Message.of("system", question), Message.of("user", question)])


def test_tokens_joined_are_the_text_again():
    text = "  one two\n\n three  "

    assert text == "".join(split_tokens(text))


async def test_stop_texts_end_the_answer_and_are_left_out():
    deltas = await collect(Offline(0), ask("extractive", stop=("language", "zzz")))

    assert text_of(deltas) == "I can't answer that without a "
    assert isinstance(deltas[-1], Finished)
    assert deltas[-1].reason == "stop"


async def test_its_tokens_are_counted():
    request = ModelRequest(
        model="extractive", messages=(Message.of("system", POND), Message.of("user", "one two three"))
    )

    deltas = await collect(Offline(0), request)

    assert isinstance(deltas[-1], Finished)
    assert len(POND.split()) + 3 == deltas[-1].usage.input_tokens
    assert len(deltas) - 1 == deltas[-1].usage.output_tokens


async def test_it_keeps_its_pace():
    loop = asyncio.get_running_loop()
    began = loop.time()

    deltas = await collect(Offline(tokens_per_s=200), ask("extractive", max_tokens=20))

    assert len(deltas) == 21
    assert loop.time() - began >= 20 / 200 * 0.95


async def test_without_pauses_it_still_lets_others_run():
    ran = asyncio.Event()
    asyncio.get_running_loop().call_soon(ran.set)

    stream = Offline(0).stream(ask("extractive"))
    await anext(stream)
    await anext(stream)
    await stream.aclose()

    assert ran.is_set()
