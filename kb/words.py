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


@lru_cache(maxsize=65536)
def stem(word: str) -> str:
    plain = unicodedata.normalize("NFKC", word).replace("’", "'")
    # A Stemmer object must not be shared between threads; making one is cheap beside the cache.
    result: str = Stemmer.Stemmer("english").stemWord(plain)
    return result
