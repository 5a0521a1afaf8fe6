"""Words that mean the same in questions and in what is said of tools, in English and Vietnamese. Rule 11 of `offline.py`.

A row is one concept. Vietnamese stands without diacritics, as everything is compared; phrases of two words count as one.
"""

import re

from graphs.language.tokenization import fold
from graphs.providers.offline.texts import STOP_WORDS, listed, words

_ROWS = """
debt debts owe owes owed owing receivable receivables outstanding | cong no | du no | khoan no | no phai thu | con no
shipment shipments cargo parcel delivery tracking track | lo hang | van don | van chuyen | giao hang | chuyen hang
container containers
weather forecast temperature rain raining sunny humidity wind | thoi tiet | du bao | nhiet do
time clock timezone timezones today's | may gio | mui gio | gio dia phuong
mathematics math calculate calculation compute sum solve equation derivative integral | phep tinh | phuong trinh | dao ham
inventory stock warehouse | ton kho | hang ton | trong kho
invoice invoices | hoa don
customer customers client clients | khach hang
web internet online news latest | tren mang | tin tuc | tin moi
search find lookup | tim | tim kiem | tra cuu
wikipedia encyclopedia encyclopaedia | bach khoa
document documents file files contract policy manual handbook | tai lieu | van ban | hop dong | quy dinh | quy che | chinh sach
remember memorise memorize | ghi nho | hay nho | nho rang
recall recalled remembered remember know | nho lai | con nho
price prices cost tariff | gia | bao gia | gia ca
image images picture photo scan scanned ocr | hinh anh | anh chup | ban quet
python script | ma lenh
sql database | co so du lieu
statistics average mean median csv | thong ke | trung binh
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
_LONGEST = 3
_FOLDED_STOPS = frozenset(fold(word) for word in STOP_WORDS)
VERBS = listed("get list find search show fetch query lookup check tool run info data make give return use by")
"""Words in tools' names and descriptions that say nothing of what they are about."""


def concepts_of(text: str) -> frozenset[int]:
    """The concepts that a text names. A Vietnamese one without diacritics is taken only as a whole phrase."""
    said = re.findall(r"[^\W_]+", fold(text.casefold()))
    runs = (" ".join(said[i : i + n]) for n in range(1, _LONGEST + 1) for i in range(len(said) - n + 1))
    return frozenset(number for run in runs for number in _CONCEPTS.get(run, ()))


def terms_of(text: str) -> frozenset[str]:
    """The words that count, without diacritics and without verbs that any tool has. Numbers say nothing of a tool."""
    found = (fold(word) for word in words(text.replace("_", " ").replace("-", " ")))
    return frozenset(w for w in found if w not in VERBS and w not in _FOLDED_STOPS and not w.isdigit() and len(w) > 1)
