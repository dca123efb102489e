"""Benchmark data of two small databases, and a model of random weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from backend.mini.answer_file import (
    Prompt,
)
from backend.mini.tokenizer import TextEncoder, train_tokenizer
from backend.mini.train import build_model, export
from backend.mini.training import Shape
from evals.bench.mini.abilities import ability_prompts
from kb.embedding import SentenceEmbedder

from .made import (
    PETS,
    STATES,
    Scripted,
    make_database,
    template,
    write_lines,
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    count = {"id": "dev-1", "db_id": "pets", "question": "How many dogs?"}
    count["gold_sql"] = ["SELECT count(*) FROM pets WHERE kind = 'dog'"]  # type: ignore[assignment]
    heavy = {"id": "dev-2", "db_id": "pets", "question": "Pets by weight?", "gold_sql": ["SELECT id FROM pets"]}
    other = {"question": "How many cats?", "gold_sql": ["SELECT count(*) FROM cats"]}
    write_lines(folder / "spider" / "dev.jsonl", [count, heavy])
    write_lines(folder / "spider" / "realistic.jsonl", [count])
    write_lines(folder / "spider" / "train1196.jsonl", [other, other])
    make_database(folder / "spider" / "database" / "pets.sqlite", PETS)
    make_database(folder / "defog" / "db" / "pets.sqlite", PETS)
    write_lines(folder / "defog" / "glossary.jsonl", [{"id": "pets-g0", "db_id": "pets", "text": "Heavy is over 10."}])
    task = {"id": "t-1", "db_id": "pets", "question": "Today?", "instructions": "Answer with a date."}
    write_lines(folder / "defog" / "tasks.jsonl", [{**task, "gold_sql_frozen": ["SELECT '2025-06-18'"]}])
    sets = folder / "text2sql_templates"
    make_database(sets / "geography.sqlite", STATES)
    trained = [template(number, number, "train", "train") for number in range(10, 30)]
    asked = [template(1, 1, "dev", "train"), template(2, 2, "dev", "dev"), template(3, 3, "train", "dev")]
    write_lines(sets / "geography.jsonl", [*trained, *asked])
    for name in ("atis", "advising", "scholar"):
        write_lines(sets / f"{name}.jsonl", [*trained[:3], *asked])
        (sets / f"{name}-schema.csv").write_text(
            "Table Name, Field Name, Is Primary Key, Is Foreign Key, Type\n"
            "STATE, NAME, y, n, varchar(255)\nSTATE, AREA, n, n, double\n-, -, -, -, -\n"
        )
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder of random weights."""
    folder = tmp_path_factory.mktemp("model")
    prompts = [message["content"] for prompt in ability_prompts(1) for message in prompt.messages]
    train_tokenizer(prompts, folder, 1200)
    shape = Shape(hidden=64, layers=2, heads=2, kv_heads=2, intermediate=128, vocab_tokens=1200)
    encoder = TextEncoder(folder)
    model = build_model(shape, 1, end=encoder.end, pad=encoder.pad)
    with torch.no_grad():
        # As they are drawn, the layers add so little that every prompt gets its own last token back.
        for weights in model.model.layers.parameters():
            if weights.dim() > 1:
                weights *= 20
    export(model, folder, folder / "model")
    return folder / "model"


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Prompt], str | None]], Scripted]:
    def use(text_of: Callable[[Prompt], str | None]) -> Scripted:
        answerer = Scripted(text_of)
        monkeypatch.setattr("evals.bench.mini.answer_book.Answerer", lambda *_: answerer)
        return answerer

    return use


@pytest.fixture
def known_embedder(monkeypatch: pytest.MonkeyPatch, embedder: SentenceEmbedder) -> None:
    monkeypatch.setattr("kb.embedding.SentenceEmbedder", lambda: embedder)
