"""Words of tables' names and columns as evidence, on bases small enough to count by hand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from kb.items import Column, Entity, Item, Metric, Schema
from kb.name_words import LOOSE, NameWords, WordEvidence, rarity


def table(name: str, *columns: str, synonyms: Sequence[str] = ()) -> Item:
    entities = (Entity(name, tuple(synonyms)),) if synonyms else ()
    return Item(f"schema:{name}", name, Schema(name, tuple(Column(c, "text") for c in columns)), entities=entities)


SHOP = [
    table("customers", "id", "name", "country"),
    table("order_items", "order_id", "price"),
    table("mediatype", "id", "name"),
    table("advisor", "id"),
]


def evidence(
    question: str, items: Sequence[Item] = SHOP, *, databases: Sequence[int] = (), **readings: Sequence[str]
) -> WordEvidence:
    words = NameWords()
    for slot, item in enumerate(items):
        words.add(slot, item)
    places = np.arange(len(items), dtype=np.int32)
    database = np.array(databases or [0] * len(items), dtype=np.int32)
    return words.at(places, database).evidence(question, readings)


def test_rarity_falls_with_how_many_have_it() -> None:
    assert rarity([1, 2, 4], 4) == pytest.approx(np.log1p([3.5 / 1.5, 2.5 / 2.5, 0.5 / 4.5]))


def test_a_word_of_the_name_counts_for_the_name_and_a_whole_name_is_told() -> None:
    found = evidence("How many customers?")
    alone = float(rarity(1, 4))
    assert found.own.tolist() == pytest.approx([alone, 0, 0, 0])
    assert found.share.tolist() == [1, 0, 0, 0]
    assert found.whole.tolist() == pytest.approx([alone, 0, 0, 0])


def test_half_a_name_is_half() -> None:
    found = evidence("the item")
    assert found.share.tolist() == [0, 0.5, 0, 0]
    assert found.whole.tolist() == [0, 0, 0, 0]


def test_a_word_of_columns_counts_by_how_many_tables_have_it() -> None:
    found = evidence("name and price")
    assert found.columns.tolist() == pytest.approx([float(rarity(2, 4)), float(rarity(1, 4)), float(rarity(2, 4)), 0])


def test_a_word_of_name_and_columns_counts_for_the_name_alone() -> None:
    found = evidence("the order")
    assert (found.own[1] > 0, found.columns[1]) == (True, 0)


def test_a_word_said_twice_counts_once() -> None:
    assert evidence("price, price!").columns.tolist() == evidence("price").columns.tolist()


def test_an_unknown_word_stands_for_those_that_begin_alike() -> None:
    assert evidence("Who advises?").own[3] == pytest.approx(LOOSE * float(rarity(1, 4)))
    assert evidence("Who adds?").own[3] == 0


def test_a_known_word_stands_for_itself_alone() -> None:
    items = [table("advisor"), table("advises")]
    assert evidence("Who advises?", items).own[0] == 0


def test_a_name_that_has_several_words_that_begin_alike_counts_once() -> None:
    items = [table("zebralot_zebrafon"), table("other", "zebralot", "zebrafon"), table("third")]
    found = evidence("zebra", items)
    weight = LOOSE * float(rarity(2, 3))
    assert found.own.tolist() == pytest.approx([weight, 0, 0])
    assert found.columns.tolist() == pytest.approx([0, weight, 0])
    assert found.share.tolist() == [0.5, 0, 0]


def test_two_words_stand_for_their_compound() -> None:
    assert evidence("the media types").whole[2] == pytest.approx(float(rarity(1, 4)))


def test_a_misspelled_word_counts_as_what_it_was_read_as() -> None:
    assert evidence("custmers", custmer=["custom"]).own[0] == pytest.approx(float(rarity(1, 4)))


def test_a_synonym_is_a_name_and_the_best_of_several_counts() -> None:
    found = evidence("purchasers", [table("customers", synonyms=("purchaser", "net buyer")), table("other")])
    assert found.whole[0] == pytest.approx(float(rarity(1, 2)))
    assert found.share[0] == 1


def test_coverage_counts_each_word_once_a_database() -> None:
    items = [table("a", "price"), table("b", "price", "size"), table("c", "price")]
    found = evidence("price and size", items, databases=[0, 0, 1])
    assert found.coverage.tolist() == pytest.approx([float(rarity(2, 2) + rarity(1, 2)), float(rarity(2, 2))])


def test_only_tables_of_the_commit_count() -> None:
    words = NameWords()
    for slot, item in enumerate(SHOP):
        words.add(slot, item)
    places = np.array([-1, 0], dtype=np.int32)
    found = words.at(places, np.zeros(1, dtype=np.int32)).evidence("customers items name advises", {})
    assert found.own.tolist() == pytest.approx([float(rarity(1, 1))])
    assert found.columns.tolist() == [0]


@pytest.mark.parametrize("question", ["", "?!", "x" * 10_000, "\ufdfa"])
def test_any_text_is_a_question_and_no_table_is_none(question: str) -> None:
    assert evidence(question).own.tolist() == [0, 0, 0, 0]
    assert evidence(question, []).coverage.tolist() == []
    metric = Item("metric:m", "m", Metric("customers"))
    assert evidence("customers", [metric]).own.tolist() == [0]
