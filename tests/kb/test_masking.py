"""What is masked, and the normal form of what was taken out."""

from __future__ import annotations

import pytest

from kb.items import Column, Entity, Item, Metric, Schema
from kb.masking import MaskedQuestion, mask
from kb.name_index import entities_of

ITEMS = [
    Item(
        id="schema:customers",
        title="customers",
        body=Schema("customers", (Column("country", "text", samples=("Germany", "Return", "Returns", "William")),)),
        entities=(Entity("customer", ("client",)),),
    ),
    Item(id="metric:gross", title="Gross", body=Metric("x"), entities=(Entity("gross revenue", ("sales",)),)),
    Item(id="metric:net", title="Net", body=Metric("x"), entities=(Entity("net revenue", ("sales",)),)),
]
INDEX = entities_of(ITEMS)


def masked(question: str) -> MaskedQuestion:
    return mask(question, INDEX.find(question))


def test_names_values_and_literals_are_taken_out_in_order() -> None:
    found = masked("Which clients from Germany paid 'by card' over 1,500.50 since March 3rd, 2024?")
    assert found.text == "Which <name> from <value> paid <value> over <number> since <date>?"
    assert [(span.kind, span.value) for span in found.spans] == [
        ("name", "customer"),
        ("value", "germany"),
        ("text", "by card"),
        ("number", "1500.50"),
        ("date", "march 3rd, 2024"),
    ]
    assert found.names == ("customer",)
    assert [span.value for span in found.literals] == ["germany", "by card", "1500.50", "march 3rd, 2024"]


@pytest.mark.parametrize(
    ("literal", "kind"),
    [
        ("2024-01-31", "date"),
        ("2024-01", "date"),
        ("Dec 2025", "date"),
        ("3 May 2024", "date"),
        ("3rd of May 2024", "date"),
        ("2024", "number"),
        ("-5", "number"),
        ("3.14", "number"),
        ('"x y"', "text"),
        ("“x y”", "text"),
    ],
)
def test_every_form_of_a_literal_is_found_whole(literal: str, kind: str) -> None:
    (span,) = masked(f"foo {literal} bar").spans
    assert (span.kind, span.end - span.start) == (kind, len(literal))


@pytest.mark.parametrize(
    ("left", "right"),
    [("5", "-5"), ("1.500", "1,500"), ("1.5", "15"), ("'Smith'", "'Smiths'"), ("'de'", "'DE'"), ("'a b'", "'a-b'")],
)
def test_literals_that_differ_keep_different_values(left: str, right: str) -> None:
    assert masked(f"foo {left}").spans[0].value != masked(f"foo {right}").spans[0].value


def test_commas_of_thousands_are_no_difference() -> None:
    assert masked("over 1,000,000").spans[0].value == masked("over 1000000").spans[0].value == "1000000"


def test_a_quoted_name_is_a_text() -> None:
    assert [span.kind for span in masked("called 'Germany'").spans] == ["text"]


def test_synonyms_plurals_and_case_have_one_value() -> None:
    values = {masked(f"all {name}").spans[0].value for name in ("client", "Clients", "customer's", "CUSTOMERS")}
    assert values == {"customer"}


@pytest.mark.parametrize("word", ["custom", "custemer", "sales"])
def test_what_only_resembles_a_name_or_stands_for_several_is_kept_as_written(word: str) -> None:
    (span,) = masked(f"all {word}").spans
    assert (span.kind, span.value) == ("name", f"'{word}'")


def test_values_are_not_made_singular() -> None:
    assert masked("all Returns").spans[0].value == "returns"
    assert masked("all Return").spans[0].value == "return"
    assert masked("all William").spans[0].value == "william"
    assert masked("all Williams").spans[0].value == "'williams'"


def test_digits_inside_a_word_are_no_number() -> None:
    assert masked("Q1 and v2").spans == ()
