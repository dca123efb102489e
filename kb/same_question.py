"""Whether two questions ask for the same thing: the test behind a verified answer.

It is built to err on one side: a paraphrase that it misses goes to the engine, with the confirmed answer in its
context; a wrong match would answer another question. So every content word, literal, name, operator and symbol must
have its counterpart, words agree as written but for a plural (stems would take `custom` for `customer`), and order
may differ only where it cannot change what belongs to what.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Literal

from kb.masking import MaskedQuestion, Span
from kb.question_symbols import symbols
from kb.words import Word, singular, words

TokenKind = Literal["name", "content", "literal", "operator", "binding"]

_FILLER = frozenset(
    "a an the of in for at on is are was were be been being do does did has have had there that those "
    "please what whats which we our and".split()
)
_REQUEST = frozenset(
    "show me give us list tell find get fetch display return can could would you i want need to see know".split()
)
"""Left out only before the first word of content: later, `us` may be a country and `return` a parcel."""
_DETERMINERS = frozenset("the all a an every me us".split())
_OPERATORS = {
    "count": "count",
    "sum": "total sum overall altogether",
    "avg": "average mean avg",
    "max": "maximum max highest largest biggest greatest",
    "min": "minimum min lowest smallest least",
    "distinct": "distinct different unique",
    "not": "not no never without except excluding non nor neither",
    "per": "per each",
    "or": "or either",
    "over": "over above exceeding more greater",
    "under": "under below less fewer",
    # Alone in their rows: `until` and `since` include the day that `before` and `after` leave out.
    "before": "before",
    "until": "until",
    "after": "after",
    "since": "since",
    "than": "than",
    "between": "between",
    "by": "by",
    "every": "every",
    "from": "from",
    "to": "to",
    "minus": "minus",
}
_OPERATOR_OF = {word: operator for operator, listed in _OPERATORS.items() for word in listed.split()}
_AGGREGATES = frozenset({"count", "sum", "avg"})
"""Operators that do not bind the words after them by order, as long as there is only one of them."""


@dataclass(frozen=True, slots=True, order=True)
class _Token:
    """`binding` is an operator or symbol whose place among the others is part of the question."""

    kind: TokenKind
    value: str


_PERSONAL = frozenset("my mine myself i me am i'm i've i'd".split())
"""What they stand for depends on who asks, unless they only ask for an answer: show me, I need."""
_AUXILIARIES = frozenset("is are was were do does did has have had am".split())
"""One of them at the start asks for yes or no."""


def same_question(asked: MaskedQuestion, confirmed: MaskedQuestion) -> bool:
    """Symmetric, and reflexive but for personal questions: `my orders` are another's when another asks.

    A question of nothing but filler is the same as itself only.
    """
    if is_personal(asked) or is_personal(confirmed):
        return False
    left, right = _tokens(asked), _tokens(confirmed)
    if not left or not right:
        return asked.question.split() == confirmed.question.split()
    if left == right:
        return True
    return Counter(left) == Counter(right) and _is_free(left) and _free_order(left) == _free_order(right)


def is_personal(question: MaskedQuestion) -> bool:
    """Whether its answer depends on who asks."""
    found = words(question.question)
    for index, word in enumerate(found):
        before = found[index - 1].text if index else ""
        after = found[index + 1].text if index + 1 < len(found) else ""
        asks = (word.text == "me" and before in ("show", "give", "tell", "get", "find", "list")) or (
            word.text == "i" and (after in _REQUEST or before in ("can", "could"))
        )
        if word.text.replace("’", "'") in _PERSONAL and not asks:
            return True
    return False


def _is_free(tokens: list[_Token]) -> bool:
    """Whether words may change places: with one name and no binding, all else describes that name."""
    kinds = Counter(token.kind for token in tokens)
    return kinds["binding"] == 0 and kinds["operator"] <= 1 and kinds["name"] <= 1


def _free_order(tokens: list[_Token]) -> tuple[object, ...]:
    """What a paraphrase of a free question must keep. `2024` may move past one word, but not from one to another."""
    content = [token for token in tokens if token.kind == "content"]
    literals = [token for token in tokens if token.kind == "literal"]
    others = [token for token in tokens if token.kind in ("content", "literal")]
    return (content, literals, others if len(content) > 1 else (), _bound(tokens))


def _bound(tokens: list[_Token]) -> tuple[_Token, ...]:
    """The two words after the operator, so that `average price and weight` is not `price and average weight`.

    A name and one word about it may stand either way: `number of delivered orders`, `of orders delivered`.
    """
    place = next((index for index, token in enumerate(tokens) if token.kind == "operator"), None)
    if place is None:
        return ()
    following = [token for token in tokens[place + 1 :] if token.kind in ("name", "content")][:2]
    return tuple(sorted(following) if len({token.kind for token in following}) == 2 else following)


def _tokens(question: MaskedQuestion) -> list[_Token]:
    """The question as tokens in order; fillers left out."""
    found = words(question.question)
    placed = [(span.start, _span_token(span)) for span in question.spans]
    placed += [(at, _Token("binding", f"symbol {symbol}")) for at, symbol in symbols(question, found)]
    inside = {at for span in question.spans for at in range(span.start, span.end)}
    names = {span.end for span in question.spans if span.kind == "name"}
    first = min((at for at, _ in placed), default=len(question.question))
    if found and found[0].text in _AUXILIARIES and found[0].start not in inside:
        placed.append((found[0].start, _Token("binding", "yes or no")))
    several = sum(_negates(word.text) for word in found) > 1
    for index, word in enumerate(found):
        before = found[index - 1] if index else None
        after = found[index + 1] if index + 1 < len(found) else None
        if word.start in inside:
            # A sampled value such as 'no' is an operator all the same.
            if _OPERATOR_OF.get(word.text, "count") not in _AGGREGATES:
                placed.append((word.start, _Token("binding", word.text)))
            continue
        written = question.question[word.start : word.end]
        token = _code(written, index) or _word_token(word, before, after, leading=word.start < first)
        if token is None:
            continue
        first = min(first, word.start)
        if token.value == "by" and before is not None and before.end in names and not _is_plural(after):
            token = _Token("binding", "per")
        elif token == _Token("binding", "not") and several:
            token = _Token("binding", f"not {word.text}")
        elif token.kind == "content" and written[0].isupper() and index:
            token = _Token("content", f"word {word.text}")
        placed.append((word.start, token))
    return [token for _, token in sorted(placed)]


def _span_token(span: Span) -> _Token:
    if span.kind == "name":
        return _Token("name", span.value)
    return _Token("literal" if span.kind in ("date", "number") else "content", f"{span.kind} {span.value}")


def _code(written: str, index: int) -> _Token | None:
    """A filler or operator in capitals may be a name: the US, an IT department, a vitamin A."""
    lower = written.lower()
    if not written.isupper() or lower == "i" or (len(written) == 1 and index == 0):
        return None
    return _Token("binding", f"code {written}") if lower in _FILLER | _REQUEST or lower in _OPERATOR_OF else None


def _word_token(word: Word, before: Word | None, after: Word | None, *, leading: bool) -> _Token | None:
    text, last, following = word.text, before.text if before else "", after.text if after else ""
    if (text, following) == ("how", "many"):
        return _Token("operator", "count")
    if text == "number" and following == "of":
        return _Token("operator", "count")
    if (text, following) == ("how", "much") or (last, text) in (("how", "many"), ("how", "much")):
        return None
    if text in ("total", "overall") and following in ("number", "count"):
        return None
    if (last, text) in (("at", "least"), ("at", "most")):
        return _Token("binding", f"at {text}")
    if _negates(text):
        return _Token("binding", "not")
    if text in _FILLER or (text.endswith(("'s", "’s")) and text[:-2] in _FILLER):
        return None
    if leading and text in _REQUEST and _requests(text, following):
        return None
    operator = _OPERATOR_OF.get(text)
    if (
        operator is None
        or (text == "mean" and not following)
        or (text == "different" and following in ("from", "than"))
    ):
        return _Token("content", f"word {singular(text)}")
    return _Token("operator" if operator in _AGGREGATES else "binding", operator)


def _requests(text: str, following: str) -> bool:
    """A request's verb, not the noun: a list price, a return rate."""
    if text == "list":
        return singular(following) != "price"
    return text != "return" or following in _DETERMINERS


def _negates(text: str) -> bool:
    return _OPERATOR_OF.get(text) == "not" or text.endswith(("n't", "n’t"))


def _is_plural(word: Word | None) -> bool:
    """`orders by customers` names who did it; `orders by customer` asks for groups."""
    return word is None or singular(word.text) != word.text
