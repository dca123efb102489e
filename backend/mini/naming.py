"""How a database spells names: one style a database, as whoever made it was used to."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Literal

from backend.mini.vocabulary import SYLLABLES

Case = Literal["snake", "camel", "pascal", "upper", "joined"]
CASES: tuple[Case, ...] = ("snake", "snake", "snake", "camel", "pascal", "upper", "joined")

_VOWELS = frozenset("aeiou")


@dataclass(frozen=True, slots=True)
class Style:
    """`plural` tables are named `orders`; `prefix` stands before tables (`tbl_`), `abbreviated` drops vowels."""

    case: Case
    plural: bool
    prefix: str
    abbreviated: bool
    own_key: bool
    """Whether the key of `orders` is `order_id` rather than `id`."""

    def spell(self, spoken: str) -> str:
        parts = spoken.split()
        if self.abbreviated:
            parts = [_short(part) for part in parts]
        match self.case:
            case "snake":
                return "_".join(parts)
            case "camel":
                return parts[0] + "".join(part.capitalize() for part in parts[1:])
            case "pascal":
                return "".join(part.capitalize() for part in parts)
            case "upper":
                return "_".join(parts).upper()
            case "joined":
                return "".join(parts)

    def table(self, singular: str, plural: str) -> str:
        return self.prefix + self.spell(plural if self.plural else singular)

    def key(self, singular: str) -> str:
        return self.spell(f"{singular} id") if self.own_key else self.spell("id")


def random_style(random: Random) -> Style:
    case = random.choice(CASES)
    prefix = random.choice(("tbl_", "t_", "dim_", "app_")) if case == "snake" and random.random() < 0.12 else ""
    return Style(case, random.random() < 0.6, prefix, random.random() < 0.08, random.random() < 0.35)


def invented_word(random: Random) -> str:
    """A word of no language, so that a name can be known from the context alone."""
    return "".join(random.choice(SYLLABLES) for _ in range(random.randint(2, 3)))


def _short(word: str) -> str:
    if len(word) <= 4:
        return word
    return word[0] + "".join(letter for letter in word[1:] if letter not in _VOWELS)[:4]
