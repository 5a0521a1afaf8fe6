"""Utterances that ask for something and do not say what ("check it for me"), and those that lean on what went before.

By closed lists of words (whatever is left once these, stop words and names are taken away is what it is about), and by
likeness: VAGUE competes with the agents as `small_talk.NOBODY` does.
"""

import re

from graphs.language.patterns import mark_codes
from graphs.language.tokenization import STOPS, fold, normalised, read, words_of
from graphs.routing.contract import Candidate

NAME = "?"
"""No agent can be called this."""

AMBIGUOUS = Candidate(
    NAME,
    "Asks for something without saying what. Hỏi mà không nói rõ hỏi gì.",
    (
        "Can you help me with something?",
        "I have a request",
        "I want to ask you something",
        "Take a look, please",
        "Check that one for me",
        "What's up with that company?",
        "What about Hoa Mai?",
        "I need some information about a client",
        "Is there an update?",
        "What is the status now?",
        "Has it been handled?",
        "How is it going with this one?",
        "Please find it",
        "Do it for me",
        "Anything new on this case?",
        "Give me the latest data",
        "Details, please",
        "It doesn't work",
        "Giúp tôi một việc",
        "Tôi muốn hỏi chút",
        "Xem hộ cái này",
        "Kiểm tra giùm vụ đó",
        "Công ty đó thế nào rồi?",
        "Còn Hoa Mai thì sao?",
        "Cần thông tin về một khách hàng",
        "Có cập nhật gì chưa?",
        "Tình trạng bây giờ ra sao?",
        "Xử lý tới đâu rồi?",
        "Cái này sao rồi em?",
        "Tìm giúp đi",
        "Làm giúp mình với",
        "Vụ này có tin mới chưa?",
        "Cho số liệu mới",
        "Cho xin chi tiết",
        "Không được rồi",
    ),
)

_NAMES = re.compile(r"(?<=\s)[A-ZĐÀ-Ỹ][\w&-]*")
_CUSTOMER = re.compile(r"\bkhach hang\b")  # a customer, while "hàng" alone are goods, and say what it is about
_REQUEST = {
    "en": frozenset(
        words_of(
            """check look up lookup see search find info information detail details status update latest number numbers
            data something anything thing stuff matter case issue company customer item order done ready finished
            handle process yet again soon""",
            folded=True,
        )
    ),
    "vi": frozenset(
        words_of(
            """kiem tra cuu xem thong tin tinh hinh chi tiet so lieu moi nhat vu viec van de xong cong ty khach xu ly
            ket qua tim cap nhat ho so doanh nghiep""",
            folded=True,
        )
    ),
}
_FOLLOWS = re.compile(
    r"^(?:and|also|what about|how about|same for|now|next|the other|why so|in more detail|more detail|go on|continue"
    r"|con|the con|vay con|the|vay|gio|tiep|them|chi tiet hon|sao|roi sao|cu the hon|tuong tu)\b"
)


def is_ambiguous(text: str) -> bool:
    """Whether nothing is left that says what it is about, in either language: a few words can be of both. Names
    (capitals inside a sentence) and codes say who."""
    without_names = _NAMES.sub(" ", mark_codes(read(text)))
    plain = _CUSTOMER.sub(" ", fold(normalised(re.sub(r"‹\w+›", " ", without_names))))
    words = [word for word in words_of(plain, folded=True) if not word.isdigit()]
    return any(_is_ambiguous_in(language, words) for language in _REQUEST)


def _is_ambiguous_in(language: str, words: list[str]) -> bool:
    asked = [word for word in words if word in _REQUEST[language]]
    return bool(asked) and all(word in _REQUEST[language] or word in STOPS[language] for word in words)


def is_only_codes(text: str) -> bool:
    """Whether there is a number or a code and nothing else."""
    return bool(re.fullmatch(r"\s*(?:‹\w+›\s*)+", mark_codes(read(text))))


def is_afterthought(text: str) -> bool:
    """Whether it is short and begins like a thing added to what was said before ("and for Song Hong?")."""
    plain = fold(normalised(read(text)))
    return len(plain.split()) <= 5 and bool(_FOLLOWS.match(plain))


def follows_on(text: str, talk: float) -> bool:
    """Whether it can only be understood from what was said before: begun like an afterthought, or very short and not
    small talk. `talk` is the probability that it is nobody's."""
    plain = fold(normalised(read(text)))
    words = len(plain.split())
    return (words <= 12 and bool(_FOLLOWS.match(plain))) or (words <= 4 and talk < 0.5)
