"""Answers in batches, freely drawn or within the grammar."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from backend.embedded_model import EmbeddedModel
from backend.embedded_model import Prompt as EmbeddedPrompt
from backend.mini import answer as answer_module
from backend.mini.answer import Answerer

from .made import (
    prompt,
)


def test_answers_do_not_depend_on_the_batch(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answer_module, "dtype_on", lambda _: "float32")
    monkeypatch.setattr(answer_module, "ANSWER_TOKENS", 12)
    answerer = Answerer(model, "cpu")
    prompts = [prompt("count"), prompt("count orders by state of each customer"), prompt("sum")]
    messages = [prompt.messages for prompt in prompts]
    together, alone = answerer.answers(messages, 3), answerer.answers(messages, 1)
    assert together == alone
    assert len(set(alone)) > 1


def test_the_embedded_engine_answers_as_a_batch_does(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answer_module, "ANSWER_TOKENS", 12)
    monkeypatch.setattr(answer_module, "dtype_on", lambda _: "float32")
    monkeypatch.setattr("backend.embedded_model.cpu_multiplies_bf16", lambda: False)
    prompts = [prompt("count"), prompt("count orders by state of each customer"), prompt("sum"), prompt("a " * 4_200)]
    batch = dict(Answerer(model, "cpu").made(prompts, 3))
    engine = EmbeddedModel(model)
    for place in range(3):
        asked = EmbeddedPrompt(tuple(prompts[place].messages), max_tokens=12)
        pieces = list(engine.generate(asked, threading.Event()))
        assert "".join(piece.text for piece in pieces) == batch[place].text
        assert engine.count_tokens(prompts[place].messages) == batch[place].prompt_tokens
    assert batch[3].text is None
    limited = Answerer(model, "cpu", "constrained").made([prompt("how many", zebra=["stripes"])], 1)
    assert (next(limited)[1].text or "").strip().lower().startswith(("select", "with"))


def test_a_prompt_that_leaves_no_room_is_not_asked_and_one_that_leaves_some_is(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answer_module, "WINDOW_TOKENS", 100)
    answerer = Answerer(model, "cpu")
    made = dict(answerer.made([prompt("state " * 200), prompt("state")], 2))
    assert (made[0].text, made[0].answer_tokens) == (None, 0)
    assert made[0].prompt_tokens > 100
    assert made[1].text is not None
    assert made[1].prompt_tokens + made[1].answer_tokens <= 100


def test_a_constrained_answer_is_sql_over_the_tables_of_its_own_prompt(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answer_module, "ANSWER_TOKENS", 40)
    answerer = Answerer(model, "cpu", "constrained")
    asked = [prompt("how many", zebra=["stripes"]), prompt("how many are there", crow=["beak"]), prompt("say")]
    made = dict(answerer.made(asked, 3))
    texts = [made[place].text or "" for place in range(3)]
    assert [text.strip().lower()[:4] for text in texts[:2]] in (
        ["sele", "sele"],
        ["with", "with"],
        ["sele", "with"],
        ["with", "sele"],
    )
    assert texts[2].strip().lower()[:4] not in ("sele", "with")


def test_a_grammar_that_fails_spoils_no_other_answer_of_its_batch(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answer_module, "ANSWER_TOKENS", 4)
    monkeypatch.setattr(answer_module, "grammar_over", lambda tables: "start: (" if "bad" in tables else None)
    answerer = Answerer(model, "cpu", "constrained")
    made = dict(answerer.made([prompt("a", bad=["x"]), prompt("b", good=["x"])], 2))
    assert made[0].text is None
    assert made[1].text
