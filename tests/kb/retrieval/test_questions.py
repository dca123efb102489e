"""Questions of every form: odd texts, slips, follow-ups."""

from __future__ import annotations

import pytest

from kb.embedding import SentenceEmbedder
from kb.knowledge_base import KnowledgeBase
from kb.retrieval import Limits, Retriever

from .shop import ask, ids


def test_a_misspelled_name_is_found_and_said_to_be_one(shop: KnowledgeBase, retriever: Retriever) -> None:
    (hit,) = [h for h in retriever.retrieve(shop, "custmers").hits if h.item.id == "schema:customers"]
    assert "names 'custmers' (misspelled)" in hit.reasons


WEIRD = [
    "",
    " ",
    "?!…",
    "x" * 10_000,
    "orders " * 1_500,
    "👍🏽 orders 👎",
    "\u202e\u0627\u0644\u0637\u0644\u0628\u0627\u062a",
]


WEIRD += ["\ufdfa", "a\0b orders", "\ud800 orders", "'\"“’", "' OR 1=1 --", "\n\t\r"]


@pytest.mark.parametrize("question", WEIRD, ids=lambda question: ascii(question)[:24])
def test_any_text_is_a_question(shop: KnowledgeBase, retriever: Retriever, question: str) -> None:
    found = retriever.retrieve(shop, question)
    assert "rule:utc" in ids(found)
    assert found.question.question == question
    assert ("orders" in question) == ("schema:orders" in ids(retriever.retrieve(shop, question, limits=NAMED)))


NAMED = Limits(near_best=0.95)
"""Few enough tables that one which the question names is told from the rest."""


@pytest.mark.parametrize("question", ["", "orders", "?"])
def test_an_empty_base_has_nothing(embedder: SentenceEmbedder, question: str) -> None:
    assert ask(embedder, [], question).hits == ()


def test_a_follow_up_finds_what_the_question_before_it_is_about(shop: KnowledgeBase, retriever: Retriever) -> None:
    follow_up = "How many of them are there?"
    first = retriever.retrieve(shop, follow_up, follows="Which parts are the heaviest?").of_kind("schema")[0]
    assert first.item.id == "schema:parts"
    assert retriever.retrieve(shop, follow_up).of_kind("schema")[:1] != (first,)
