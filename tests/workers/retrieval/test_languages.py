"""Passages of another language than the question's."""

from uuid import uuid4

from workers.retrieval.rank_fusion import RankedList
from workers.retrieval.search import Candidates, _across_languages

ENGLISH = ["The rent is raised once a year.", "The deposit is returned within ten days.", "Pets are not allowed here."]
VIETNAMESE = [
    "Giá in tờ rơi là bao nhiêu thì xem bảng.",
    "Thay lõi lọc sau sáu tháng.",
    "Không giao hàng vào chủ nhật.",
]


class Row:
    def __init__(self, text: str) -> None:
        self.text = text


def _ranked(*, crossing: bool) -> list[str]:
    cosines = dict(zip([*VIETNAMESE, *ENGLISH], (0.86, 0.85, 0.84, 0.83, 0.79, 0.78), strict=True))
    ids = {text: uuid4() for text in cosines}
    texts = {item: text for text, item in ids.items()}
    candidates = Candidates(cosines={ids[text]: cosine for text, cosine in cosines.items()})
    candidates.crossing = set(texts) if crossing else set()
    rows = {item: Row(text) for item, text in texts.items()}
    found = _across_languages(RankedList("vector", list(texts)), rows, candidates)  # type: ignore[arg-type]
    return [texts[item] for item in found.ids]


def test_what_stands_out_in_its_own_language_is_found_before_what_is_only_of_the_questions():
    assert ENGLISH[0] == _ranked(crossing=True)[0]


def test_an_embedder_of_one_language_ranks_by_meaning_alone():
    assert [*VIETNAMESE, *ENGLISH] == _ranked(crossing=False)
