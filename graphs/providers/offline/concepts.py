"""Words in questions and in tools' descriptions that mean the same, in English and Vietnamese. Rule 11 of `provider.py`.

A row is one concept. Vietnamese is written without diacritics, as everything is compared; phrases count as one word.
"""

# ruff: noqa: E501 (rows of words are easier to read and to change unbroken)

import re

from graphs.language.tokenization import fold
from graphs.providers.offline.texts import STOP_WORDS, word_set, words

_ROWS = """
debt debts owe owes owed owing receivable receivables outstanding | cong no | du no | khoan no | no phai thu | con no
shipment shipments cargo parcel delivery tracking track | lo hang | van don | van chuyen | giao hang | chuyen hang
container containers
weather forecast temperature rain raining sunny humidity wind windy frost snow snowing umbrella chilly foggy stormy | a coat | how hot | how cold | how warm | thoi tiet | du bao | nhiet do | co mua | co nang | co nong | co lanh
time clock timezone timezones today's daytime midnight asleep | what day is | what date is | at this hour | too late to | too early to | already tomorrow | still yesterday | may gio | mui gio | gio nay | gio dia phuong
mathematics math calculate calculation compute sum solve equation derivative integral | phep tinh | phuong trinh | dao ham
inventory stock warehouse | ton kho | hang ton | trong kho
invoice invoices | hoa don
customer customers client clients | khach hang
web internet online google news latest headlines shares flights | opening hours | opening times | who won | last night | gia vang | gia xang | tren mang | tin tuc | tin moi
search find lookup | tim | tim kiem | tra cuu
wikipedia encyclopedia encyclopaedia | bach khoa
document documents file files contract policy manual handbook | tai lieu | van ban | hop dong | quy dinh | quy che | chinh sach
remember memorise memorize | note that | don t forget | dung quen | keep in mind | ghi nho | hay nho | nho rang | nho giup
recall recalled remembered remember know | did i tell you | i told you | did i say | nho lai | con nho | toi da noi | minh da noi
price prices cost tariff | gia | bao gia | gia ca
image images picture photo scan scanned ocr | hinh anh | anh chup | ban quet
python script | ma lenh
sql database | co so du lieu
statistics average mean median csv correlate correlation trend deviation | thong ke | trung binh | tuong quan
cpu disk uptime memory system | he thong
currency exchange | ty gia | doi tien
tax mst | ma so thue
"""
_CONCEPTS: dict[str, set[int]] = {}
for _number, _row in enumerate(_ROWS.strip().split("\n")):
    _english, _, _vietnamese = _row.partition("|")
    for _phrase in (*_english.split(), *(cell.strip() for cell in _vietnamese.split("|"))):
        if _phrase:
            _CONCEPTS.setdefault(_phrase, set()).add(_number)
_MAX_PHRASE_WORDS = 4
_FOLDED_STOPS = frozenset(fold(word) for word in STOP_WORDS)
GENERIC_WORDS = word_set(
    "get list find search show fetch query lookup check tool run info data make give return use by"
)
"""Words in tools' names and descriptions that say nothing about their subject."""


def find_concepts(text: str) -> frozenset[int]:
    """Return the concepts that a text mentions. A Vietnamese one without diacritics counts only as a whole phrase."""
    words_in_text = re.findall(r"[^\W_]+", fold(text.casefold()))
    phrases = (
        " ".join(words_in_text[i : i + n])
        for n in range(1, _MAX_PHRASE_WORDS + 1)
        for i in range(len(words_in_text) - n + 1)
    )
    return frozenset(number for phrase in phrases for number in _CONCEPTS.get(phrase, ()))


def extract_terms(text: str) -> frozenset[str]:
    """Return the significant words without diacritics. Generic words and numbers say nothing about a tool."""
    found = (fold(word) for word in words(text.replace("_", " ").replace("-", " ")))
    return frozenset(
        w for w in found if w not in GENERIC_WORDS and w not in _FOLDED_STOPS and not w.isdigit() and len(w) > 1
    )
