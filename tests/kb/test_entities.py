"""Names in questions: exact, inflected, misspelled, overlapping, of several items."""

from __future__ import annotations

import pytest

from kb.entities import Mention, name_key
from kb.items import Column, Entity, Gotcha, Item, Metric, Schema
from kb.name_index import entities_of

ORDERS = Item(
    id="schema:orders",
    title="orders",
    body=Schema("orders", (Column("id", "int"), Column("state", "text", samples=("delivered", "12", "2024-01-01")))),
)
CUSTOMERS = Item(
    id="schema:customers",
    title="customers",
    body=Schema(
        "customers",
        (Column("id", "int"), Column("orderDate", "date"), Column("address2", "text"), Column("theme", "text")),
    ),
    entities=(Entity("customer", ("client", "purchaser")),),
)
REVENUE = Item(id="metric:revenue", title="Revenue", body=Metric("x"), entities=(Entity("net revenue"),))


def find(question: str, *items: Item) -> list[Mention]:
    return entities_of(items or (ORDERS, CUSTOMERS, REVENUE)).find(question)


def owners(mention: Mention, *items: Item) -> tuple[str, ...]:
    return tuple((items or (ORDERS, CUSTOMERS, REVENUE))[place].id for place in mention.owners)


def test_a_mention_says_where_it_is_and_what_it_is() -> None:
    (mention,) = find("How many Orders?")
    assert (mention.surface, mention.start, mention.end, mention.fuzzy) == ("Orders", 9, 15, False)
    assert owners(mention) == ("schema:orders",)


def test_a_synonym_stands_for_its_entity() -> None:
    (mention,) = find("our clients")
    assert {name.canonical for name in mention.names} == {"customer"}


def test_a_sampled_value_is_a_value_and_numbers_and_dates_are_no_names() -> None:
    mentions = find("delivered 12 on 2024-01-01")
    assert [(mention.surface, mention.is_value) for mention in mentions] == [("delivered", True)]


def test_a_name_of_two_items_has_both_as_owners() -> None:
    (mention,) = find("which id")
    assert owners(mention) == ("schema:orders", "schema:customers")


def test_the_longest_of_overlapping_names_wins() -> None:
    other = Item(id="metric:gross", title="Gross", body=Metric("x"), entities=(Entity("revenue"),))
    assert [mention.surface for mention in find("the net revenue", REVENUE, other)] == ["net revenue"]


@pytest.mark.parametrize("question", ["the orderDate of x", "the order date of x", "the order_date of x"])
def test_a_column_is_found_as_written_and_as_said(question: str) -> None:
    assert [name.surface for mention in find(question, CUSTOMERS) for name in mention.names] == ["orderDate"]


def test_a_name_with_a_digit_is_found_as_written() -> None:
    assert [mention.surface for mention in find("the address2 of x")] == ["address2"]


@pytest.mark.parametrize("written", ["custmers", "custoomers", "custoners", "cusotmers", "purchaserr", "kustomers"])
def test_one_edit_is_forgiven(written: str) -> None:
    (mention,) = find(f"all {written}")
    assert mention.fuzzy
    assert owners(mention) == ("schema:customers",)


@pytest.mark.parametrize("written", ["csutmers", "odrs", "12345", "cu5tomers"])
def test_two_edits_and_numbers_are_not(written: str) -> None:
    assert find(f"all {written}") == []


def test_a_near_name_with_another_first_letter_does_not_hide_one_with_the_same() -> None:
    borders = Item(id="schema:corders", title="x", body=Schema("corders", ()))
    sorders = Item(id="schema:qorders", title="x", body=Schema("qorders", ()))
    (mention,) = find("qordrs", borders, sorders)
    assert owners(mention, borders, sorders) == ("schema:qorders",)
    (mention,) = find("qorderz", borders, sorders)
    assert owners(mention, borders, sorders) == ("schema:qorders",)


@pytest.mark.parametrize("written", ["net revenu", "net reveneu", "nte revenue", "neet revenue", "netrevenu"])
def test_one_word_of_a_long_name_may_be_misspelled(written: str) -> None:
    (mention,) = find(f"the {written} of 2024")
    assert (mention.surface, [name.canonical for name in mention.names]) == (written, ["net revenue"])


@pytest.mark.parametrize("written", ["netrevenue", "ne trevenue"])
def test_a_space_less_or_elsewhere_is_a_spelling_of_the_name(written: str) -> None:
    (mention,) = find(f"the {written}")
    assert (mention.surface, mention.fuzzy) == (written, False)


def test_a_name_of_one_word_is_found_as_two() -> None:
    schooler = Item("schema:highschooler", "x", Schema("Highschooler", ()))
    (mention,) = find("every high schooler", schooler)
    assert (mention.surface, mention.fuzzy) == ("high schooler", False)
    (mention,) = find("every high schoolr", schooler)
    assert (mention.surface, mention.fuzzy) == ("high schoolr", True)


def test_an_inflected_name_may_be_misspelled() -> None:
    city = Item("schema:city", "x", Schema("city", ()))
    for written in ("citeis", "cihty", "ctiies"):
        (mention,) = find(f"all {written}", city)
        assert mention.fuzzy


def test_a_misspelled_word_says_what_it_was_read_as() -> None:
    (mention,) = find("all custmers")
    assert mention.readings == (("custmer", "custom"),)
    (mention,) = find("all customers")
    assert mention.readings == ()


def test_a_slip_in_a_long_name_is_told_rather_than_the_short_name_within() -> None:
    short = Item("metric:gross", "Gross", Metric("x"), entities=(Entity("revenue"),))
    (mention,) = find("the ent revenue", REVENUE, short)
    assert [name.canonical for name in mention.names] == ["net revenue"]


def test_what_is_quoted_is_meant_as_it_stands() -> None:
    assert find("called 'custmers' or \"custmers\"") == []


def test_owners_are_told_by_the_kind_of_their_name() -> None:
    kinds = (Item("schema:state", "x", Schema("state", ())), ORDERS)
    (mention,) = find("which state", *kinds)
    assert (mention.owners_by("table").tolist(), mention.owners_by("column").tolist()) == ([0], [1])
    assert mention.owners_by("value").tolist() == []


def test_an_everyday_word_is_no_misspelling() -> None:
    assert find("there are these") == []


@pytest.mark.parametrize("question", ["", " ", "?!…", "👍👍", "\0", "\u202e\u0627\u0644", "\ufdfa"])
def test_questions_without_names_have_no_mentions(question: str) -> None:
    assert find(question) == []


def test_a_name_beside_a_ligature_of_several_words_is_found() -> None:
    """U+FDFA normalizes to four words, one of which is this name."""
    name = "\u0627\u0644\u0644\u0647"
    item = Item(id="metric:m", title="m", body=Metric("x"), entities=(Entity(name),))
    assert [mention.surface for mention in find(f"\ufdfa {name}", item)] == [name]


def test_no_items_no_mentions_and_an_item_without_names_too() -> None:
    assert entities_of([]).find("orders") == []
    assert entities_of([Item(id="gotcha:g", title="g", body=Gotcha("x"))]).find("orders") == []
    assert entities_of([Item(id="gotcha:g", title="g", body=Gotcha("x"), entities=(Entity("!"),))]).find("!") == []


def test_one_key_for_all_spellings_of_a_name() -> None:
    assert name_key("order_items") == name_key("OrderItem") == name_key("order items") == "order item"
