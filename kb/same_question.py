"""Whether two questions ask for the same thing: the test behind a verified answer.

It is built to err on one side: a paraphrase that it misses goes to the engine, with the confirmed answer in its
context; a wrong match would answer another question. So every content word, literal, name and operator must have
its counterpart, and where an operator binds words by their order (negation, comparison), the order must agree.
"""

from __future__ import annotations

from collections import Counter

from kb.masking import MaskedQuestion
from kb.words import stem, words

_FILLER = frozenset(
    "a an the of in for at on is are was were be been being do does did has have had there it its this that these "
    "those that please show me give us list tell find get fetch display return what whats which how much many can "
    "could would will you i we our my want need know see and".split()
)
_OPERATORS = {
    "count": "number count",
    "sum": "total sum overall altogether",
    "avg": "average mean avg",
    "max": "maximum max highest largest biggest greatest",
    "min": "minimum min lowest smallest least",
    "distinct": "distinct different unique",
    "not": "not no never without except excluding non nor neither",
    "per": "per each every by",
    "or": "or either",
    "before": "before until",
    "after": "after since",
    "over": "over above exceeding more greater",
    "under": "under below less fewer",
    "than": "than",
    "between": "between",
}
_OPERATOR_OF = {word: operator for operator, listed in _OPERATORS.items() for word in listed.split()}
_ORDERED = frozenset({"not", "or", "before", "after", "over", "under", "than", "between", "max", "min", "per"})


def same_question(asked: MaskedQuestion, confirmed: MaskedQuestion) -> bool:
    left, right = _tokens(asked), _tokens(confirmed)
    if Counter(left) != Counter(right):
        return False
    if _ORDERED & {token.partition(":")[2] for token in left if token.startswith("operator:")}:
        return left == right
    return _in_order(left) == _in_order(right)


def _in_order(tokens: list[str]) -> tuple[tuple[str, ...], ...]:
    """What must keep its order even in a freely worded paraphrase: names, and the literals of each kind."""
    kinds = ("name", "value", "text", "date", "number")
    return tuple(tuple(token for token in tokens if token.startswith(f"{kind}:")) for kind in kinds)


def _tokens(question: MaskedQuestion) -> list[str]:
    """The question as typed tokens in order: names, literals, operators and content words; fillers left out."""
    placed: list[tuple[int, str]] = [(span.start, f"{span.kind}:{span.value}") for span in question.spans]
    found = words(question.question)
    for index, word in enumerate(found):
        if any(span.start <= word.start < span.end for span in question.spans):
            continue
        following = found[index + 1].text if index + 1 < len(found) else ""
        token = _word_token(word.text, following)
        if token:
            placed.append((word.start, token))
    return [token for _, token in sorted(placed)]


def _word_token(word: str, following: str) -> str | None:
    if word == "how" and following == "many":
        return "operator:count"
    if word in ("total", "overall") and following in ("number", "count"):
        return None
    if word.endswith(("n't", "n’t")):
        return "operator:not"
    if word in _OPERATOR_OF:
        return f"operator:{_OPERATOR_OF[word]}"
    if word in _FILLER or (word.endswith(("'s", "’s")) and word[:-2] in _FILLER):
        return None
    return f"word:{stem(word)}"
