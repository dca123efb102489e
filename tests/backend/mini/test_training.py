"""The reference model's training: names survive the tokenizer, a run learns, resumes, and what it writes loads."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from itertools import repeat
from pathlib import Path

import pytest
import torch

from backend.engine import Message
from backend.mini.evaluate import ROWS, Case, evaluate, held_out, is_right, wilson
from backend.mini.sample import Sample
from backend.mini.stream import Batch, batches, conversations_of, database_samples
from backend.mini.tokenizer import TextEncoder, train_tokenizer
from backend.mini.train import Trainer, ahead, make_tokenizer
from backend.mini.training import Shape, Training

TINY = Training(
    shape=Shape(hidden=64, layers=2, heads=2, kv_heads=2, intermediate=128, vocab_tokens=1500),
    tokenizer_databases=12,
    tokenizer_least=2,
    easy_databases=12,
    batch_tokens=8192,
    warmup_steps=2,
    learning_rate=5e-3,
    matrix_learning_rate=5e-3,
    context_share=0.0,
)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tokenizer")
    make_tokenizer(TINY, folder)
    return folder


@pytest.fixture(scope="module")
def batch(tokenizer: Path) -> Batch:
    """The first twenty or so samples."""
    made, _ = next(batches(TINY, tokenizer, processes=0))
    return made


def trainer_in(folder: Path, tokenizer: Path) -> Trainer:
    for path in tokenizer.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    return Trainer(folder, TINY, device="cpu")


@pytest.mark.parametrize(
    "text", ["order_id", "tbl_orders.StartDate", "CUSTOMER_NO = 1048", "Zürich 'O''Hara' 价格\n\n- x"]
)
def test_a_text_comes_back_from_its_tokens(tokenizer: Path, text: str) -> None:
    encoder = TextEncoder(tokenizer)
    assert encoder.decode(encoder.encode(text)) == text


def test_digits_underscores_and_points_are_tokens_of_their_own(tokenizer: Path) -> None:
    encoder = TextEncoder(tokenizer)
    pieces = [encoder.decode([token]) for token in encoder.encode("name.name_id = 205")]
    assert pieces == ["name", ".", "name", "_", "id", " = ", "2", "0", "5"]


def test_a_name_has_the_same_tokens_wherever_it_stands(tokenizer: Path) -> None:
    encoder = TextEncoder(tokenizer)
    name = encoder.encode("quazorbren")
    for text in ("Table quazorbren\n", "x.quazorbren", "(quazorbren)", "the quazorbren?"):
        tokens = encoder.encode(text)
        assert any(tokens[start : start + len(name)] == name for start in range(len(tokens))), text


def test_training_text_is_what_the_chat_template_writes(tokenizer: Path) -> None:
    from transformers import AutoTokenizer

    template = AutoTokenizer.from_pretrained(tokenizer)
    encoder = TextEncoder(tokenizer)
    for sample in conversations_of(TINY, 20):
        written = template.apply_chat_template(list(sample.messages), tokenize=False, add_generation_prompt=True)
        prompt = template(written, add_special_tokens=False)["input_ids"]
        ids, marks = encoder.training(sample.messages, sample.answer)
        assert prompt == encoder.prompt(sample.messages) == ids[: len(prompt)].tolist()
        assert marks[len(prompt) :].all()
        answers = [message["content"] for message in sample.messages if message["role"] == "assistant"]
        assert encoder.decode(ids[marks].tolist()) == "".join([*answers, sample.answer])


def test_a_name_of_one_database_becomes_no_token(tmp_path: Path) -> None:
    texts = ["quollzub " * 200, "price of price", "price and of", "the price of"]
    train_tokenizer(texts, tmp_path, 400, least_texts=2)
    encoder = TextEncoder(tmp_path)
    assert len(encoder.encode("price")) == 1
    assert len(encoder.encode("quollzub")) > 3


def test_a_model_has_as_many_tokens_as_its_tokenizer(tmp_path: Path, tokenizer: Path) -> None:
    trainer = trainer_in(tmp_path, tokenizer)
    size = TextEncoder(tokenizer).size
    assert size <= trainer.model.config.vocab_size < size + 64
    assert trainer.model.config.vocab_size % 64 == 0


def test_training_goes_on_from_the_weights_of_a_model_folder(tmp_path: Path, tokenizer: Path, batch: Batch) -> None:
    (tmp_path / "first").mkdir()
    first = trainer_in(tmp_path / "first", tokenizer)
    first.run(repeat((batch, 3), 10), max_steps=2)
    (tmp_path / "second").mkdir()
    second = trainer_in(tmp_path / "second", tokenizer)
    second.start_from(tmp_path / "first" / "model")
    assert (second.steps, second.tokens) == (0, 0)
    stored, started = first.model.state_dict(), second.model.state_dict()
    assert all(torch.equal(started[name], stored[name].to(torch.bfloat16).float()) for name in stored)


def test_batches_are_the_same_whatever_the_number_of_processes(tokenizer: Path, batch: Batch) -> None:
    made, _ = next(batches(TINY, tokenizer, processes=1))
    assert (made.ids == batch.ids).all()
    assert (made.answers == batch.answers).all()


def test_batches_made_ahead_end_as_their_source_does(batch: Batch) -> None:
    def broken() -> Iterator[tuple[Batch, int]]:
        yield batch, 1
        raise OSError("the disk is full")

    assert [chunk for _, chunk in ahead(iter([(batch, 1), (batch, 2)]))] == [1, 2]
    source = ahead(broken())
    assert next(source) == (batch, 1)
    with pytest.raises(OSError, match="the disk is full"):
        next(source)


def test_replicas_share_the_chunks_between_them(tokenizer: Path) -> None:
    seen = [[chunk for _, chunk in batches(TINY, tokenizer, processes=0, chunks=iter(own))] for own in ((1, 3), (2, 4))]
    assert set(seen[0]) <= {1, 3}
    assert set(seen[1]) <= {2, 4}
    assert all(seen)


def test_a_database_that_sqlite_does_not_take_is_left_out_and_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def failing(training: Training, database: int, pieces: object) -> Iterator[Sample]:
        if database == 13:
            raise sqlite3.OperationalError("reserved name")
        yield Sample("plain", "show 1", (Message(role="system", content=""),), "SELECT 1")

    monkeypatch.setattr("backend.mini.stream.conversations_of", failing)
    assert len(list(database_samples(TINY, 1))) == 11
    assert "database 13 left out: OperationalError('reserved name')" in capsys.readouterr().err


def test_a_small_model_learns_a_few_samples(tmp_path: Path, tokenizer: Path, batch: Batch) -> None:
    trainer = trainer_in(tmp_path, tokenizer)
    losses = [trainer.step(batch, 0.0)[0].item() for _ in range(25)]
    assert losses[-1] < losses[0] / 2


def test_what_is_saved_gives_the_same_logits_and_resumes(tmp_path: Path, tokenizer: Path, batch: Batch) -> None:
    from transformers import AutoModelForCausalLM

    trainer = trainer_in(tmp_path, tokenizer)
    trainer.run(repeat((batch, 3), 10), max_steps=2)
    ids = torch.from_numpy(batch.ids[:1].astype("int64"))
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "model", dtype=torch.float32)
    with torch.inference_mode():
        for weight in trainer.model.parameters():
            weight.copy_(weight.to(torch.bfloat16))
        assert torch.allclose(loaded(ids).logits, trainer.model(ids).logits, atol=1e-5)

    resumed = trainer_in(tmp_path, tokenizer)
    resumed.resume()
    assert (resumed.steps, resumed.tokens, resumed.chunk) == (2, 2 * batch.ids.size, 4)
    resumed.run(repeat((batch, 4), 10), max_steps=3)
    assert resumed.steps == 3


def test_a_run_that_is_resumed_goes_on_with_the_momentum_it_had(tmp_path: Path, tokenizer: Path, batch: Batch) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    whole.mkdir()
    cut.mkdir()
    steady = trainer_in(whole, tokenizer)
    trainer_in(cut, tokenizer).run(repeat((batch, 3), 10), max_steps=2)
    resumed = trainer_in(cut, tokenizer)
    resumed.resume()
    for step in range(4):
        steady.step(batch, 0.1 if step > 1 else step / 2)
    for _ in range(2):
        resumed.step(batch, 0.1)
    for one, other in zip(steady.model.parameters(), resumed.model.parameters(), strict=True):
        assert torch.allclose(one, other, atol=1e-6)


def test_a_run_logs_its_tokens_and_loss(tmp_path: Path, tokenizer: Path, batch: Batch) -> None:
    trainer = trainer_in(tmp_path, tokenizer)
    trainer.log_steps = 2
    trainer.run(repeat((batch, 0), 10), max_steps=4)
    entries = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [entry["step"] for entry in entries] == [2, 4]
    assert entries[-1]["tokens"] == 4 * batch.ids.size
    assert entries[-1]["answer_loss"] > 0


# ── evaluation ───────────────────────────────────────────────────────────────────────────────────────────────


def case_of(answer: str) -> Case:
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE t (a INTEGER, b TEXT)")
    connection.executemany("INSERT INTO t VALUES (?, ?)", [(1, "x"), (2, "y"), (2, "y")])
    return Case("plain", Sample("plain", "show 1", (), answer), connection)


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        ("SELECT b FROM t WHERE a = 2 ORDER BY a", (True, True)),
        ("SELECT DISTINCT b FROM t WHERE a = 2", (False, True)),
        ("SELECT c FROM t", (False, False)),
        ("DELETE FROM t", (False, False)),
        ("", (False, False)),
        ("nonsense", (False, False)),
    ],
)
def test_an_answer_is_right_if_it_gives_the_same_rows(answer: str, verdict: tuple[bool, bool]) -> None:
    assert is_right(case_of("SELECT b FROM t WHERE b = 'y'"), answer) == verdict


def test_an_answer_that_never_ends_is_wrong() -> None:
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i FROM n) SELECT count(*) FROM n"
    assert is_right(case_of("SELECT 1"), endless) == (False, False)


def test_right_answers_pass_and_wrong_ones_are_listed() -> None:
    expected: dict[str, list[str]] = {row: [case.sample.answer for case in held_out(row, 3, seed=8)] for row in ROWS}
    order = list(ROWS)

    def answer(prompts: object) -> list[str]:
        return [*expected[order.pop(0)][:2], "SELECT 'none of the rows'"]

    rows, wrong = evaluate(answer, cases=3, seed=8)
    assert [(row.passed, row.total, row.runs) for row in rows] == [(2, 3, 3)] * len(ROWS)
    assert len(wrong) == len(ROWS)


def test_taking_a_gotcha_out_leaves_the_answer_it_asked_for() -> None:
    for told, untold in zip(
        held_out("gotcha in context", 10, seed=8), held_out("gotcha taken out", 10, seed=8), strict=True
    ):
        assert told.sample.answer == untold.sample.answer
        assert "<gotcha id=" in told.sample.messages[0]["content"]
        assert "<gotcha id=" not in untold.sample.messages[0]["content"]


def test_the_interval_of_8_of_10_is_that_of_the_tables() -> None:
    row = wilson("plain", 8, 10, 10)
    assert (row.low, row.high) == (0.4902, 0.9433)


def test_a_conversation_asks_only_what_its_context_can_answer() -> None:
    made = [sample for database in range(20, 24) for sample in conversations_of(replace(TINY, seed=2), database)]
    assert made
    for sample in made:
        assert [message["role"] for message in sample.messages[:2]] == ["system", "user"]
        assert "<schema id=" in sample.messages[0]["content"]
        assert all(message["role"] != "system" for message in sample.messages[1:])
