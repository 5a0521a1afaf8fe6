"""Whether two questions mean the same, so that the answer to one may be given to the other (G9).

Vectors alone can't say so: with all-MiniLM-L6-v2 the same question about another customer number scores 0.99, from Hanoi to
Saigon and back 0.998, with and without "not" 0.92, and honest paraphrases 0.83 to 0.99. So what differs between the words
counts first: only courtesy, grammar and the synonyms below may. The vectors then only have to agree (`NEAR`).

Not for: finding candidates (`schema/queries/agents/cached_answers.py`), or when an answer may be kept (`answers.py`).
"""

import hashlib
import re
import unicodedata
from collections.abc import Sequence

from graphs.language.tokenization import normalise

NEAR = 0.8
"""Cosine from which two questions whose words agree are the same. The paraphrases of
`tests/workers/agents/test_question_similarity.py` score 0.83 and more; questions with the same words and another
sense are rare below it, and those above it differ in words."""
LONGEST = 1000
"""Characters of a question that is looked for at all: nobody asks a longer one twice."""

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
_HARMLESS = _words(
    """a an the is are of in on at please kindly hello hi hey show list display what which do does have has there thanks thank
    xin hãy vui lòng là của ạ nhé giúp gì nào thì hả vậy các những"""
)
"""Words that one of two questions may have and the other not. Not among them: who, when, where, why, how; not, no, never; to
and for; I, you, my and our; all and each; was and will."""
_SAME = (
    *("debt owe owed owing nợ", "customer client", "price cost giá", "big large", "buy purchase mua", "picture photo"),
    *("company firm", "left remaining remain còn", "begin start", "phone telephone", "explain describe", "quick fast"),
    "howmuch",
)
_CANONICAL = {word: row.split()[0] for row in _SAME for word in row.split()}
_AMOUNTS = frozenset({"debt", "price"})
_DIRECTED = _words(
    """from into than before after since until versus vs owe owed owing pay send sell lend give minus divided over under replace
    từ đến sang tới hơn trước sau trả gửi bán nợ"""
)
"""Words whose neighbours can't change places."""


def question_digest(question: str) -> str:
    """Return what questions of the same words share: case, white space and marks at the end don't count, quoted words do."""
    quotes = " ".join(_quotes(question))
    text = " ".join(unicodedata.normalize("NFC", question).casefold().split())
    return hashlib.sha256(f"{_trimmed(text)}\n{quotes}".encode("utf-8", "surrogatepass")).hexdigest()


def _trimmed(text: str) -> str:
    """Without marks at the end; that of a factorial ("5!") stays."""
    bare = text.rstrip("?.…! ")
    return bare + "!" if bare[-1:].isdigit() and text[len(bare) :].startswith("!") else bare


def is_same_question(one: str, other: str) -> bool:
    """Whether the words of two questions leave no difference but courtesy, grammar and synonyms. Numbers, codes, quoted words,
    names and every other word that says something have to be equal, and in the same order where it counts."""
    if _quotes(one) != _quotes(other):
        return False
    first, second = _tokens(one), _tokens(other)
    if _meant(first) != _meant(second) or _numbers(first) != _numbers(second):
        return False
    firm = _names(one) | _names(other) | {t for t in (*first, *second) if _has_digit(t) or not t[0].isalnum()}
    if _DIRECTED & {*first, *second}:
        firm |= {token for token in (*first, *second) if token not in _CANONICAL and token not in _DIRECTED}
    return [t for t in first if t in firm] == [t for t in second if t in firm]


def _tokens(question: str) -> list[str]:
    text = normalise(_OWNERS_S.sub("", question))
    for phrase, word in _PHRASES:
        text = re.sub(rf"(?<!\w){phrase}(?!\w)", word, text)
    return [_singular(token) for token in map(str.strip, _TOKEN.findall(text)) if token not in _HARMLESS]


def _singular(token: str) -> str:
    plural = token.isalpha() and len(token) > 3 and token.endswith("s") and not token.endswith("ss")
    return token[:-1] if plural else token


def _meant(tokens: Sequence[str]) -> set[str]:
    """Return what a question is about: a word for each thing, whatever it was called."""
    found = {_CANONICAL.get(token, token) for token in tokens}
    return found - {"howmuch"} if found & _AMOUNTS else found


def _numbers(tokens: Sequence[str]) -> list[str]:
    return [token for token in tokens if _has_digit(token)]


def _has_digit(token: str) -> bool:
    return any(character.isdigit() for character in token)


def _names(question: str) -> set[str]:
    """Return words with a capital inside of a sentence."""
    sentences = _BREAKS.split(unicodedata.normalize("NFC", question))
    words = [word for sentence in sentences for word in re.findall(r"[^\W_]+", sentence)[1:]]
    return {_singular(normalise(word)) for word in words if word[0].isupper()}


def _quotes(question: str) -> list[str]:
    text = unicodedata.normalize("NFC", question)
    return [next(part for part in found if part) for found in _QUOTED.findall(text)]
