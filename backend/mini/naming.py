"""How a database spells names: one style a database, as whoever made it was used to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from string import ascii_lowercase
from typing import Literal

from backend.mini.vocabulary import SYLLABLES

Case = Literal["snake", "camel", "pascal", "upper", "joined"]
Short = Literal["consonants", "beginning"]
CASES: tuple[Case, ...] = ("snake", "snake", "snake", "camel", "pascal", "upper", "joined")

_CONSONANTS = "bcdfghjklmnpqrstvwxz"
_VOWELS = frozenset("aeiou")


@dataclass(frozen=True, slots=True)
class Style:
    """`plural` tables are named `orders`; `prefix` stands before tables (`tbl_`)."""

    case: Case
    plural: bool
    prefix: str
    short: Short | None
    """How long words are shortened: to their consonants (`prc`) or their beginning (`pric`)."""
    own_key: bool
    """Whether the key of `orders` is `order_id` rather than `id`."""
    own_columns: bool
    """Whether a column says whose it is: `order_status` rather than `status`."""

    def spell(self, spoken: str) -> str:
        parts = spoken.split()
        if self.short is not None:
            parts = [_shortened(part, self.short) for part in parts]
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

    def column(self, singular: str, spoken: str) -> str:
        return self.spell(f"{singular} {spoken}" if self.own_columns else spoken)


def random_style(random: Random) -> Style:
    case = random.choice(CASES)
    prefix = random.choice(("tbl_", "t_", "dim_", "app_")) if case == "snake" and random.random() < 0.12 else ""
    short: Short | None = random.choice(("consonants", "beginning")) if random.random() < 0.14 else None
    return Style(case, random.random() < 0.6, prefix, short, random.random() < 0.4, random.random() < 0.12)


def invented_word(random: Random, pieces: Sequence[str] = ()) -> str:
    """A word of no language, so that a name can be known from the context alone: syllables, or letters as they come;
    or one or two of `pieces`, where some are given.
    """
    if pieces:
        return "".join(random.choice(pieces) for _ in range(random.choice((1, 1, 2))))
    kind = random.random()
    if kind < 0.4:
        return "".join(random.choice(SYLLABLES) for _ in range(random.choice((2, 2, 3, 3, 4))))
    if kind < 0.7:
        pairs = range(random.choice((2, 3, 3, 4)))
        return "".join(random.choice(_CONSONANTS) + random.choice("aeiou") for _ in pairs) + random.choice(
            ("", "n", "r")
        )
    letters = "".join(random.choice(ascii_lowercase) for _ in range(random.randint(3, 8)))
    return letters if random.random() < 0.8 else f"{letters}{random.randint(1, 99)}"


def opaque_name(random: Random, number: int) -> str:
    """What a column is called where only a comment says what it holds."""
    return random.choice((f"c{number}", f"col_{number:02d}", f"attr{number}", f"fld_{invented_word(random)}"))


def _shortened(word: str, short: Short) -> str:
    if len(word) <= 4:
        return word
    if short == "beginning":
        return word[:4]
    return word[0] + "".join(letter for letter in word[1:] if letter not in _VOWELS)[:4]
