"""Utterances that don't say what they are about ("check it for me"), and those that depend on earlier messages.

Detected by closed lists of words (what remains without these, stop words and names is the subject), and by similarity:
AMBIGUOUS competes with the agents, as `small_talk.SMALL_TALK` does.
"""

import re

from graphs.language.patterns import mark_codes
from graphs.language.tokenization import STOP_WORDS, clean_utterance, fold, normalise, tokenize
from graphs.routing.contract import Candidate

AMBIGUOUS_NAME = "?"
"""Not a valid agent name."""

AMBIGUOUS = Candidate(
    AMBIGUOUS_NAME,
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
_CUSTOMER = re.compile(r"\bkhach hang\b")  # "khách hàng" is a customer; "hàng" alone is goods, which is a subject
_REQUEST_WORDS = {
    "en": frozenset(
        tokenize(
            """check look up lookup see search find info information detail details status update latest number numbers
            data something anything thing stuff matter case issue company customer item order done ready finished
            handle process yet again soon""",
            folded=True,
        )
    ),
    "vi": frozenset(
        tokenize(
            """kiem tra cuu xem thong tin tinh hinh chi tiet so lieu moi nhat vu viec van de xong cong ty khach xu ly
            ket qua tim cap nhat ho so doanh nghiep""",
            folded=True,
        )
    ),
}
_FOLLOW_UP = re.compile(
    r"^(?:and|also|what about|how about|same for|now|next|the other|why so|in more detail|more detail|go on|continue"
    r"|con|the con|vay con|the|vay|gio|tiep|them|chi tiet hon|sao|roi sao|cu the hon|tuong tu)\b"
)


def is_ambiguous(text: str) -> bool:
    """Whether no subject remains, in either language (a few words exist in both). Names (capitals inside a sentence) and
    codes don't count: they say who is meant."""
    without_names = _NAMES.sub(" ", mark_codes(clean_utterance(text)))
    plain = _CUSTOMER.sub(" ", fold(normalise(re.sub(r"‹\w+›", " ", without_names))))
    words = [word for word in tokenize(plain, folded=True) if not word.isdigit()]
    return any(_is_ambiguous_in(language, words) for language in _REQUEST_WORDS)


def _is_ambiguous_in(language: str, words: list[str]) -> bool:
    request_words = [word for word in words if word in _REQUEST_WORDS[language]]
    return bool(request_words) and all(
        word in _REQUEST_WORDS[language] or word in STOP_WORDS[language] for word in words
    )


def is_only_codes(text: str) -> bool:
    """Whether it consists of codes, numbers or names of files and nothing else."""
    return bool(re.fullmatch(r"[\s,;]*(?:(?:‹\w+›|\d{3,})[\s,;]*)+", mark_codes(clean_utterance(text))))


def is_afterthought(text: str) -> bool:
    """Whether it is short and begins like an addition to the previous message ("and for Song Hong?")."""
    plain = fold(normalise(clean_utterance(text)))
    return len(plain.split()) <= 5 and bool(_FOLLOW_UP.match(plain))


def is_short(text: str) -> bool:
    """Whether it is so short that earlier messages decide what is meant."""
    return len(text.split()) <= 5
