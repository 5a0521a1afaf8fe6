"""Language detection, word-by-word translation, and splitting into clauses."""

import pytest

from graphs.language.clauses import split_clauses
from graphs.language.detection import detect_language
from graphs.language.translate_words import translate_words
from graphs.routing.semantic import text_to_embed


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("where is my container", "en"),
        ("hi", "en"),
        ("invoice?", "en"),
        ("the thing", "en"),
        ("lô hàng của tôi đang ở đâu", "vi"),
        ("cong no cua khach hang nay la bao nhieu", "vi"),
        ("check giúp em cái invoice này", "vi"),
        ("Co\u0302ng no\u031b\u0323 cu\u0309a to\u0302i", "vi"),
        ("Où se trouve mon conteneur s'il vous plaît ?", "other"),
        ("Wo ist mein Container bitte?", "other"),
        ("¿Dónde está la factura de este cliente?", "other"),
        ("Quando arriva questo ordine", "other"),
        ("где мой контейнер", "other"),
        ("合同说什么", "other"),
        ("0104985841", "other"),
        ("MSKU1234565", "other"),
        ("", "other"),
    ],
)
def test_the_language_is_told(text: str, language: str):
    assert language == detect_language(text)


@pytest.mark.parametrize(
    ("text", "english"),
    [
        ("lô hàng đang ở đâu", "shipment where is"),
        ("lo hang dang o dau", "shipment where is"),
        ("công nợ của Minh Long", "debt of Minh Long"),
        ("hóa đơn INV-2024-7 quá hạn", "invoice INV-2024-7 overdue"),
    ],
)
def test_vietnamese_is_translated_by_the_longest_phrases_and_names_stay(text: str, english: str):
    assert english == translate_words(text)


def test_with_diacritics_a_word_without_any_is_meant_so():
    assert "contract in of Samsung" == translate_words("hợp đồng in của Samsung")


def test_numbers_are_embedded_as_their_kind_and_names_are_left_out():
    assert "does pay for code" == text_to_embed("does Hoa Binh pay for 0104985841", english_only=True)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("where is SHP-1001 and how much does the owner owe", ("where is SHP-1001", "how much does the owner owe")),
        ("tóm tắt hợp đồng sau đó xem hóa đơn", ("tóm tắt hợp đồng", "xem hóa đơn")),
        ("kiem tra cong no roi cho biet lo hang o dau", ("kiem tra cong no", "cho biet lo hang o dau")),
        ("the handbook and the policy", ("the handbook and the policy",)),
        ("container tới đâu rồi", ("container tới đâu rồi",)),
        ("according to the manual, how often is it cleaned", ("according to the manual, how often is it cleaned",)),
        ("theo quy trình, sau tai nạn phải báo cho ai", ("theo quy trình, sau tai nạn phải báo cho ai",)),
        ("", ("",)),
    ],
)
def test_an_utterance_is_cut_where_another_request_begins(text: str, parts: tuple[str, ...]):
    assert parts == split_clauses(text)


def test_there_are_never_more_than_six_parts():
    assert 6 == len(split_clauses("show me this. " * 40))
