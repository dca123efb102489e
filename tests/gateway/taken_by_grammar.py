"""What a grammar takes of a statement, byte by byte."""

from __future__ import annotations

from functools import cache

from llguidance import LLMatcher, LLTokenizer

BYTES = LLTokenizer("byte")


@cache
def compiled(grammar: str) -> LLMatcher:
    matcher = LLMatcher(BYTES, grammar, log_level=0)
    assert not matcher.is_error(), matcher.get_error()
    return matcher


def taken(grammar: str, sql: str) -> int:
    """How many bytes of `sql` the grammar takes; one more if it may end there."""
    matcher = compiled(grammar).deep_copy()
    text = list(sql.encode())
    count = matcher.try_consume_tokens(text)
    return count + (count == len(text) and matcher.is_accepting())


def takes(grammar: str, sql: str) -> bool:
    return taken(grammar, sql) == len(sql.encode()) + 1
