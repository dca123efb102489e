"""Answers that are kept, and which of them count."""

from __future__ import annotations

import gzip
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from backend.mini import answer as answer_module
from backend.mini.answer_file import (
    append_answers,
    model_digest,
    read_answers,
    write_prompts,
)
from evals.bench.errors import AnswersUnavailable

from .made import (
    answered,
    book_of,
    prompt,
    write_lines,
)


def test_an_answers_file_counts_for_its_own_model_and_a_line_that_was_cut_off_is_made_again(tmp_path: Path) -> None:
    file = tmp_path / "answers.jsonl"
    write_lines(file, [asdict(answered("a", "one")), asdict(answered("b", "two"))])
    with file.open("a") as lines:
        lines.write('{"key": "c", "mod')
    assert read_answers(file, "one").keys() == {("a", "greedy")}
    list(append_answers(file, [answered("c", "one")]))
    assert read_answers(file, "one").keys() == {("a", "greedy"), ("c", "greedy")}
    assert read_answers(tmp_path / "none.jsonl", "one") == {}


def test_prompts_answered_elsewhere_are_not_asked_again(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scripted: Any
) -> None:
    monkeypatch.setattr(answer_module, "ANSWER_TOKENS", 4)
    prompts, answers = tmp_path / "prompts.jsonl.gz", tmp_path / "answers.jsonl"
    assert write_prompts(prompts, [prompt("a"), prompt("b"), prompt("a")]) == 2
    assert len(gzip.decompress(prompts.read_bytes()).splitlines()) == 2
    monkeypatch.setattr(sys, "argv", ["answer", str(model), str(prompts), str(answers)])
    answer_module.main()
    answer_module.main()
    assert len(answers.read_text().splitlines()) == 2
    here = scripted(lambda _: "made here")
    book = book_of(model, answers)
    texts = [answer.text for answer in book.ask([prompt("b"), prompt("c"), prompt("a")])]
    assert (texts[1], here.asked) == ("made here", [prompt("c")])
    assert texts[0] == read_answers(answers, book.model)[prompt("b").key, "greedy"].text
    assert list(book_of(model, answers).missing([prompt("c"), prompt("d")])) == [prompt("d")]


def test_answers_are_told_apart_by_their_decoding(
    model: Path, tmp_path: Path, scripted: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripted(lambda _: "made here")
    file = tmp_path / "answers.jsonl"
    line = replace(answered(prompt("a").key, model_digest(model)), decoding="constrained")
    write_lines(file, [asdict(line)])
    book = book_of(model, file)
    assert book.ask([prompt("a")], "constrained")[0].text == "SELECT 1"
    assert book.ask([prompt("a")], "greedy")[0].text == "made here"
    monkeypatch.setattr("evals.bench.mini.answer_book.find_spec", lambda _: None)
    with pytest.raises(AnswersUnavailable, match=r"1 constrained answers .* llguidance"):
        book.ask([prompt("a"), prompt("b")], "constrained")


def test_other_weights_have_another_digest(model: Path, tmp_path: Path) -> None:
    for path in model.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    assert model_digest(tmp_path) == model_digest(model)
    weights = next(tmp_path.glob("*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:-1] + b"\1")
    assert model_digest(tmp_path) != model_digest(model)
