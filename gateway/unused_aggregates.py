"""Aggregates that a question names and its answer's statement has nothing of: a sum where the highest is asked for.

Only words that mean one aggregate count. A total may be a sum or a count, `at least` is a condition, and the oldest has
the lowest date.
"""

from __future__ import annotations

from kb.masking import MaskedQuestion
from kb.words import spoken, words

_SAID_AS: tuple[tuple[frozenset[str], frozenset[str]], ...] = (
    (frozenset(("maximum", "highest", "largest", "biggest", "greatest")), frozenset(("max", "order"))),
    (frozenset(("minimum", "lowest", "smallest")), frozenset(("min", "order"))),
    (frozenset(("average",)), frozenset(("avg", "mean"))),
)
"""Words of a question, and words of a statement that may mean one of them: who sorts finds the highest, too."""


def unused_aggregates(asked: MaskedQuestion, sql: str) -> tuple[str, ...]:
    """As the question writes them, in order. The name of a column may say it as well: `highest_point`, `max_speed`."""
    written, shares = set(spoken(sql).split()), "/" in sql
    lacking = {
        word
        for said, means in _SAID_AS
        if written.isdisjoint(said | means) and not (shares and "avg" in means)
        for word in said
    }
    return tuple(dict.fromkeys(word.text for word in words(asked.question) if word.text in lacking))
