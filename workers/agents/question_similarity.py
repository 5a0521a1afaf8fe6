"""Decides whether two questions mean the same, so that they may have the same answer.

Vectors alone can't decide that. In all-MiniLM-L6-v2, the same question about another customer number scores 0.99, "from
Hanoi to Saigon" and the reverse 0.998, with and without "not" 0.92, and real paraphrases 0.83 to 0.99. So the words are
compared first: they may differ only in courtesy, grammar and the synonyms below. The vectors then only have to agree
(`MIN_SIMILARITY`).

Not here: finding candidates (`schema/queries/agents/cached_answers.py`), and which answers are stored
(`answer_cache.py`).
"""

import hashlib
import re
import unicodedata
from collections.abc import Sequence

from graphs.language.tokenization import normalise

MIN_SIMILARITY = 0.8
"""Cosine above which two questions whose words agree have the same meaning. The paraphrases in
`tests/workers/agents/test_question_similarity.py` score at least 0.83. Questions with another meaning that score
more differ in their words."""
MAX_CHARS = 1000
"""Longer questions are not looked up: they are hardly ever asked twice."""

_QUOTED = re.compile(r"\"([^\"]+)\"|“([^”]+)”|«([^»]+)»|`([^`]+)`|(?<!\w)'([^']+)'(?!\w)|‘([^’]+)’")
_TOKEN = re.compile(r"[^\W_]+(?:[-./:,_@+#&][^\W_]+)*|[^\w\s?!.,;:…'\"“”‘’«»`¿¡-]|-(?=\d)|(?<=\d)\s*[!-]")
_OWNERS_S = re.compile(r"['’]s\b")
_BREAKS = re.compile(r"[.!?…]\s+|\n")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_PHRASES = (
    *(("how much", "howmuch"), ("bao nhiêu", "howmuch"), ("how many", "howmany"), ("công nợ", "nợ")),
    *(("khách hàng", "customer"), ("what's", "what"), ("cho tôi biết", "please"), ("cho mình biết", "please")),
    *(("can you", "please"), ("could you", "please"), ("would you", "please"), ("can i", "do i"), ("could i", "do i")),
    *(("i want to know", "please"), ("i would like to know", "please"), ("i'd like to know", "please")),
    *(("tell me", "show"), ("show me", "show"), ("give me", "show")),
)
_IGNORED = _words(
    """a an the is are of in on at please kindly hello hi hey show list display what which do does have has there thanks thank
    xin hãy vui lòng là của ạ nhé giúp gì nào thì hả vậy các những"""
)
"""Words that only one of the two questions may have. Deliberately not in this list: who, when, where, why, how; not,
no, never; to and for; I, you, my and our; all and each; was and will."""
_SYNONYMS = (
    *("debt owe owed owing nợ", "customer client", "price cost giá", "big large", "buy purchase mua", "picture photo"),
    *("company firm", "left remaining remain còn", "begin start", "phone telephone", "explain describe", "quick fast"),
    "howmuch",
)
_CANONICAL = {word: row.split()[0] for row in _SYNONYMS for word in row.split()}
_AMOUNTS = frozenset({"debt", "price"})
_DIRECTED = _words(
    """from into than before after since until versus vs owe owed owing pay send sell lend give minus divided over under replace
    từ đến sang tới hơn trước sau trả gửi bán nợ"""
)
"""Words on whose two sides the order matters."""


def question_digest(question: str) -> str:
    """Return a digest that is equal for questions of the same words. Case, white space and final punctuation are
    ignored, except in quotes."""
    quotes = " ".join(_quotes(question))
    text = " ".join(unicodedata.normalize("NFC", question).casefold().split())
    return hashlib.sha256(f"{_trimmed(text)}\n{quotes}".encode("utf-8", "surrogatepass")).hexdigest()


def _trimmed(text: str) -> str:
    """Return the text without final punctuation, but with the "!" of a factorial ("5!")."""
    bare = text.rstrip("?.…! ")
    return bare + "!" if bare[-1:].isdigit() and text[len(bare) :].startswith("!") else bare


def is_same_question(one: str, other: str) -> bool:
    """Whether two questions differ only in courtesy, grammar and synonyms. Numbers, codes, quotes, names and all other
    words with meaning must be equal, and in the same order where order matters."""
    if _quotes(one) != _quotes(other):
        return False
    first, second = _tokens(one), _tokens(other)
    if _topics(first) != _topics(second) or _numbers(first) != _numbers(second):
        return False
    firm = _names(one) | _names(other) | {t for t in (*first, *second) if _has_digit(t) or not t[0].isalnum()}
    if _DIRECTED & {*first, *second}:
        firm |= {token for token in (*first, *second) if token not in _CANONICAL and token not in _DIRECTED}
    return [t for t in first if t in firm] == [t for t in second if t in firm]


def _tokens(question: str) -> list[str]:
    text = normalise(_OWNERS_S.sub("", question))
    for phrase, word in _PHRASES:
        text = re.sub(rf"(?<!\w){phrase}(?!\w)", word, text)
    return [_singular(token) for token in map(str.strip, _TOKEN.findall(text)) if token not in _IGNORED]


def _singular(token: str) -> str:
    plural = token.isalpha() and len(token) > 3 and token.endswith("s") and not token.endswith("ss")
    return token[:-1] if plural else token


def _topics(tokens: Sequence[str]) -> set[str]:
    """Return what a question is about, with one canonical word for each group of synonyms."""
    found = {_CANONICAL.get(token, token) for token in tokens}
    return found - {"howmuch"} if found & _AMOUNTS else found


def _numbers(tokens: Sequence[str]) -> list[str]:
    return [token for token in tokens if _has_digit(token)]


def _has_digit(token: str) -> bool:
    return any(character.isdigit() for character in token)


def _names(question: str) -> set[str]:
    """Return capitalized words, except at the beginning of a sentence."""
    sentences = _BREAKS.split(unicodedata.normalize("NFC", question))
    words = [word for sentence in sentences for word in re.findall(r"[^\W_]+", sentence)[1:]]
    return {_singular(normalise(word)) for word in words if word[0].isupper()}


def _quotes(question: str) -> list[str]:
    text = unicodedata.normalize("NFC", question)
    return [next(part for part in found if part) for found in _QUOTED.findall(text)]
