"""The streams: who asks what, in which order. The same seed gives the same stream."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

ZIPF_EXPONENT = 1.0
PEOPLE = 20


@dataclass(frozen=True, slots=True)
class Request:
    """A turn of a dialogue; `answer` is what the engine is taken to have said, the accepted SQL.

    `needed` are ids of the schema items that the SQL reads, where that is known; `database` is the SQLite file that it
    runs on. A question by itself is the only turn of a dialogue.
    """

    dialogue: str
    turn: int
    question: str
    answer: str
    needed: frozenset[str]
    person: str = ""
    database: Path | None = None


def zipf_draw(questions: Sequence[Request], count: int, seed: str) -> list[Request]:
    """`count` questions drawn with repeats: the one of rank r as often as 1 / r.

    Ranks are at random, and the same for every seed. Each draw is a dialogue of its own.
    """
    ranked = Random("ranks").sample(questions, len(questions))
    weights = [1 / rank**ZIPF_EXPONENT for rank in range(1, len(ranked) + 1)]
    drawn = Random(seed).choices(ranked, weights, k=count)
    return [replace(request, dialogue=f"{request.dialogue}/{number}") for number, request in enumerate(drawn)]


def interleaved(dialogues: Sequence[Sequence[Request]], seed: str, people: int = PEOPLE) -> list[Request]:
    """The dialogues dealt to people, who go through theirs one after the other; who is next is drawn for each turn."""
    random = Random(seed)
    dealt = random.sample(dialogues, len(dialogues))
    left = {
        f"person {person + 1}": [turn for dialogue in dealt[person::people] for turn in dialogue]
        for person in range(min(people, len(dealt)))
    }
    stream: list[Request] = []
    while left:
        person = random.choice(list(left))
        stream.append(replace(left[person].pop(0), person=person))
        if not left[person]:
            del left[person]
    return stream
