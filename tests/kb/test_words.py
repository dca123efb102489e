"""Words, stems and plurals, with answers worked out by hand."""

from __future__ import annotations

import pytest

from kb.words import singular, spoken, stem, stems, words


@pytest.mark.parametrize(
    ("identifier", "said"),
    [
        ("order_items", "order items"),
        ("orderItems", "order items"),
        ("orderItems2", "order items 2"),
        ("Customers", "customers"),
        ("dbo.orders", "dbo orders"),
        ("", ""),
        ("___", ""),
    ],
)
def test_an_identifier_is_said_as_people_say_it(identifier: str, said: str) -> None:
    assert spoken(identifier) == said


def test_words_know_where_they_stand() -> None:
    text = "Ann's order_items, 2024!"
    assert [(word.text, text[word.start : word.end]) for word in words(text)] == [
        ("ann's", "Ann's"),
        ("order", "order"),
        ("items", "items"),
        ("2024", "2024"),
    ]


def test_stems_join_what_inflection_keeps_apart() -> None:
    assert stems("delivered deliveries delivering") == ["deliv", "deliveri", "deliv"]
    assert stems("orderItems") == ["order", "item"]


def test_a_ligature_of_several_words_has_one_stem() -> None:
    assert " " not in stem("\ufdfa")


def test_a_curly_apostrophe_is_an_apostrophe() -> None:
    assert stem("ann’s") == stem("ann's")


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("orders", "order"),
        ("customer's", "customer"),
        ("customer’s", "customer"),
        ("countries", "country"),
        ("boxes", "box"),
        ("classes", "class"),
        ("class", "class"),
        ("status", "status"),
        ("analysis", "analysis"),
        ("news", "news"),
        ("goods", "goods"),
        ("gas", "gas"),
        ("custom", "custom"),
        ("important", "important"),
    ],
)
def test_singular_takes_off_a_plural_and_nothing_else(word: str, expected: str) -> None:
    assert singular(word) == expected
