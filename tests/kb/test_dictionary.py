"""Everyday words: those that a question means when it has them."""

from __future__ import annotations

from kb.dictionary import common_words, everyday_words, inflections


def test_words_of_questions_are_everyday_words_and_slips_are_not() -> None:
    assert {"there", "theme", "customers", "average", "list"} <= everyday_words()
    assert not {"custmers", "salaray", "teh", "##ing", "[unk]", "2024"} & everyday_words()


def test_common_words_are_the_more_frequent_of_them() -> None:
    assert common_words() < everyday_words()
    assert "customers" in common_words()


def test_inflections_are_the_words_of_a_stem() -> None:
    assert inflections("citi") == ("cities", "city")
    assert inflections("zzz") == ()
