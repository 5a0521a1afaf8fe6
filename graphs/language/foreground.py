"""Which clauses of a message ask for something: not what is told beside it, nor what is said not to be wanted.

    "The vessel was late, everybody is angry; anyway, how much do they owe?"   → "how much do they owe?"
    "I don't want to know what they owe, only when their goods land"           → "only when their goods land"

Not for: which agent a clause is for (`graphs/routing/router.py`).
"""

# ruff: noqa: E501 (rows of words are easier to read and to change unbroken)

import re

from graphs.language.clauses import MAX_CLAUSES, split_clauses
from graphs.language.tokenization import fold, normalise

MIN_WORDS_BEHIND = 2
MAX_EXAMINED = 40
"""Clauses that are looked at; at most `MAX_CLAUSES` (`clauses.py`) of them are requests."""
MAX_SHORT_WORDS, MAX_REFERRING_WORDS = 5, 10

# Folded, lower case. From the sign to the next comma, "but", "only" … is what is not wanted.
_NOT_WANTED = re.compile(
    r"(?:^|(?<=[,;.!?:] )|(?<=\bbut )|(?<=\bma )|(?<=\bwell ))"
    r"(?:no,? )?(?:please )?"
    r"(?:i (?:said|mean|meant) not|it(?:'s| is)(?: not|n't)(?: about)?|this is not|not|no|never mind|forget(?: about)?|skip|drop|leave"
    r"|without|rather than|instead of|no need to|you (?:don't|do not|needn't|need not)(?: have to| need to)?"
    r"|i(?:'m| am) not|i (?:don't|do not|didn't|did not) (?:want|need|mean|ask|care)|don't|do not"
    r"|khong phai|khong hoi|khong can|khong muon|dung(?! la| khong)|thoi khoi|khoi|bo qua)\b"
    r"[^,;.!?:–—]*?"
    r"(?=[,;.!?:–—]|\b(?:but|just|only|i want|i'd like|i need|tell me|chi can|chi hoi|ma la)\b|$)[,;.!?:–—\s]*"
)
_ASKS = re.compile(
    r"\?|^(?:so |ok |okay |now |anyway |and |please |pls |plz |well |then |also |hi |hey |first |oh )*"
    r"(?:who|whose|what|what's|which|when|where|where's|why|how|is|are|am|was|were|has|have|had|do|does|did|can|could|will|would|should|may (?:i|we|they|he|she|you)"
    r"|give|tell|show|find|check|list|get|read|send|block|book|cancel|move|change|make|put|take|add|open|close|reset|reprint|print"
    r"|summari[sz]e|compare|analy[sz]e|extract|transcribe|translate|write|explain|track|ocr|type|convert|look|let|need|want|please"
    r"|extend|order|release|raise|recall|quote|register|recommend|sum|boil|condense|copy|pull|help|draft|calculate|remind)\b"
    r"|\b(?:i (?:just |only |now |actually |really )*(?:need|want|wonder)|i'd like(?! to tell)|i would like(?! to tell)|i was wondering|tell me|let me know|can you|could you"
    r"|please|pls|plz|what i (?:need|want|wonder)|needs?(?: now)? is|remaining thing)\b|\b(?:question|thing):"
    r"|\b(?:khong|chua|dau|bao nhieu|bao gio|khi nao|the nao|ra sao|sao roi|gi|nao|may gio|ai|a|nhi|ha)(?: roi)?(?: vay| the| em| anh| chi| ban| ta| a| nhe| nha| ha| do| voi)*\s*$"
    r"|\b(?:cho (?:em|anh|chi|minh|toi|tui|co|chu) (?:xin|hoi|biet)|giup|gium|dum|kiem tra|tra cuu|tom tat|so sanh|phan tich|doc|liet ke|tim"
    r"|can biet|muon biet|xem|check|nho ban|dich|viet|in lai|doi|dat|huy|khoa|lay)\b"
)
_IN_ORDER = re.compile(
    r"\b(?:then|after that|afterwards|also|sau đó|rồi|xong|với lại|với cả|sau do|roi|voi lai)\b(?=.*\w)", re.IGNORECASE
)
_TELLS = re.compile(
    r"(?:so )?(?:i|we|he|she|they|it|my|our|her|his|their|em|anh|chị|mình)\b(?!'d| need| want| would)", re.IGNORECASE
)
_REFERS = re.compile(r"\b(?:it|them|they|that|these|this|nó|chúng)\b", re.IGNORECASE)
_LEAD = re.compile(
    r"^(?:anyway|anyhow|well|ok(?:ay)?|so|whatever|and|but|ma thoi|thoi|gio|bay gio)[,:]?\s+", re.IGNORECASE
)
_BEFORE = re.compile(
    r"^\s*before you (?P<later>.+?),\s*(?P<first>.+)$|^(?P<later2>.+?),?\s+but only after (?:you(?:'ve| have)? )?(?P<first2>.+)$",
    re.IGNORECASE | re.DOTALL,
)


def requests_in(text: str) -> tuple[str, ...]:
    """Return the clauses that ask for something, in the order in which they are to be done; the text itself if none does, or
    nothing else is in it."""
    if match := _BEFORE.match(text):
        first, later = match["first"] or match["first2"], match["later"] or match["later2"]
        return (*requests_in(first), *requests_in(later))
    wanted = strip_unwanted(text)
    clauses = [_LEAD.sub("", clause) for clause in split_clauses(wanted, MAX_EXAMINED)]
    ordered = len(_IN_ORDER.findall(wanted)) == 1 and not any(_TELLS.match(clause) for clause in clauses)
    asking = [_with_subject(clauses, at) for at, clause in enumerate(clauses) if ordered or _asks(clause)]
    return tuple(asking[-MAX_CLAUSES:]) or (wanted,)


def _with_subject(clauses: list[str], at: int) -> str:
    """Return a clause, with what is told before it if it has no subject of its own ("Can we?", "put them side by side")."""
    words = len(clauses[at].split())
    refers = words <= MAX_SHORT_WORDS or (words <= MAX_REFERRING_WORDS and bool(_REFERS.search(clauses[at])))
    return f"{clauses[at - 1]}. {clauses[at]}" if refers and at > 0 and not _asks(clauses[at - 1]) else clauses[at]


def strip_unwanted(text: str) -> str:
    """Return the text without what it says is not wanted; the text itself if nothing would remain."""
    plain = _aligned(text)
    kept, at = list[str](), 0
    for match in _NOT_WANTED.finditer(plain):
        kept.append(text[at : match.start()])
        at = match.end()
    rest = " ".join("".join([*kept, text[at:]]).split()).strip(" ,;:")
    return rest if len(rest.split()) >= MIN_WORDS_BEHIND else text


def _asks(clause: str) -> bool:
    return bool(_ASKS.search(fold(normalise(clause)).strip(" .,!")))


def _aligned(text: str) -> str:
    """Return the text folded in lower case, with as many characters."""
    return "".join(folded if len(folded := fold(char).lower()) == 1 else char for char in text)
