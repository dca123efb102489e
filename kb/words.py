"""Text to words and stems: the one tokenization that search, entities and masking share.

Identifiers are spoken (`order_items`, `orderItems` → order items), words are lower-cased and stemmed (Snowball).
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

import Stemmer

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)?")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Za-z])(?=[0-9])|(?<=[0-9])(?=[A-Za-z])")
_NOT_PLURALS = frozenset("news goods customs means works arms glasses damages".split())
"""Words that mean something else without their s."""


@dataclass(frozen=True, slots=True)
class Word:
    """A word of a text, its stem, and where it stands there (`start`, `end`: characters)."""

    text: str
    stem: str
    start: int
    end: int


def spoken(identifier: str) -> str:
    """An identifier as people say it: `orderItems2` → `order items 2`."""
    return " ".join(part for word in _WORD.findall(identifier) for part in _CAMEL.split(word)).lower()


def words(text: str) -> list[Word]:
    """The words of running text, identifiers split at `_` only, so that positions hold."""
    found = _WORD.finditer(text)
    return [Word(m.group().lower(), stem(m.group().lower()), m.start(), m.end()) for m in found]


def stems(text: str) -> list[str]:
    """Stems for search: identifiers are spoken first."""
    return [stem(word) for word in spoken(text).split()]


def singular(word: str) -> str:
    """A lower-case word without possessive and plural s: it takes fewer words for the same than a stem does."""
    plain = unicodedata.normalize("NFKC", word).replace("’", "'").removesuffix("'s")
    if plain in _NOT_PLURALS or len(plain) < 4:
        return plain
    if plain.endswith("ies") and len(plain) > 4:
        return plain[:-3] + "y"
    if plain.endswith(("sses", "shes", "ches", "xes")):
        return plain[:-2]
    return plain[:-1] if plain.endswith("s") and not plain.endswith(("ss", "us", "is")) else plain


@lru_cache(maxsize=65536)
def spoken_singular(name: str) -> str:
    """A name as people say it, without plural s: `order_items` → `order item`."""
    return " ".join(singular(word) for word in spoken(name).split())


@lru_cache(maxsize=65536)
def stem(word: str) -> str:
    # Normalization turns some ligatures (U+FDFA) into several words, but a stem is one.
    plain = "".join(unicodedata.normalize("NFKC", word).split()).replace("’", "'")
    # A Stemmer object must not be shared between threads; making one is cheap beside the cache.
    result: str = Stemmer.Stemmer("english").stemWord(plain)
    return result
