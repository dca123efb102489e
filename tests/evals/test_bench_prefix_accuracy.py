"""Answers under two orders of the same items: figures by hand, and a tiny made-up database asked in both."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence, Set
from dataclasses import replace
from pathlib import Path

import pytest

from backend.client import Completion, Message, Sampling
from backend.errors import ContextTooLong, EngineUnreachable
from backend.mini.answer_file import Prompt, prompt_of
from backend.model_folder import SHIPPED_FOLDER
from evals.bench.errors import EngineFailed
from evals.bench.learning.engine import SHIPPED_ENGINE
from evals.bench.learning.kept_pieces import KeptPieces
from evals.bench.learning.world import World, made_world
from evals.bench.prefix.accuracy_section import InOrders, accuracy_rows, rows_of_set
from evals.bench.prefix.assistant_world import stream_world
from evals.bench.prefix.engines import CountingEngine
from evals.bench.prefix.greedy_answers import GreedyAnswers
from evals.bench.prefix.played import Player
from evals.bench.prefix.request_stream import interleaved
from evals.bench.prefix.runnable_sets import RunnableSet, made_up
from evals.bench.prefix.spider_traffic import Traffic
from evals.bench.remembering import Remembering
from evals.bench.row import Asked, Row
from gateway.answering import Prepared
from gateway.testing import ScriptedEngine
from kb.embedding import SentenceEmbedder


class Forgetful(ScriptedEngine):
    """Knows the answer to each question, and gives it once: under the second of two prompts it answers wrongly."""

    def __init__(self, answers: dict[str, str]) -> None:
        super().__init__()
        self._answers = answers

    async def complete(self, messages: Sequence[Message], sampling: Sampling, *, cache_salt: str | None) -> Completion:
        asked = [message["content"].rpartition("\n\n")[2] for message in messages[1:]]
        self.enqueue(self._answers.pop("\n".join(asked), "SELECT 'forgotten'"))
        return await super().complete(messages, sampling, cache_salt=cache_salt)


@pytest.fixture(scope="module")
def world(embedder: SentenceEmbedder) -> Iterator[World]:
    with made_world(embedder, 12, seed=1) as made:
        yield made


@pytest.fixture(scope="module")
def traffic(world: World) -> Traffic:
    found = made_up(world)
    return replace(found, dialogues=found.dialogues[:3])


def test_a_loss_is_one_only_where_the_whole_interval_lies_below() -> None:
    asked = Asked(up_to=0.0)
    assert asked.holds(-0.1, (-0.2, 0.0))
    assert not asked.holds(-0.1, (-0.2, -0.01))
    assert not asked.holds(0.0)
    assert asked.to_dict() == {"up_to": 0.0}


BY_SCORE = frozenset({"by score"})


def in_orders(dialogue: str, *, right: Set[str], others: Set[str] = BY_SCORE, **fields: bool) -> InOrders:
    return InOrders(dialogue, frozenset(right), frozenset(others), **fields)


def test_a_set_has_accuracy_of_its_orders_and_their_difference_by_dialogue() -> None:
    found = [
        in_orders("a", right={"ours", "planned"}),
        in_orders("a", right={"ours", "by score", "planned"}),
        in_orders("b", right={"by score"}),
        in_orders("c", right={"ours", "by score"}, others={"planned"}, refused=True, adds=True),
    ]
    rows = {row.name: row for row in rows_of_set("set", found)}
    assert rows["set, accuracy"].value == 0.75
    assert rows["set, accuracy"].baseline == {"by score": 0.75, "planned": 0.5}
    assert rows["set that add items, accuracy"].n == 1
    difference = rows["set, accuracy, ours − by score"]
    assert difference.value == 0.0
    assert difference.interval == (-1.0, 0.5), "drawn by dialogue: all of 'b', or all of 'a'"
    assert difference.ok
    alone = rows["set, right in ours alone"]
    assert (alone.value, alone.baseline) == (1.0, {"by score": 1.0})
    assert rows["set, prompts that differ"].value == 0.75
    planned = rows["set, accuracy, planned − ours"]
    assert (planned.value, planned.interval) == (-0.25, (-1.0, 0.0))
    assert rows["set, planned prompts that differ"].value == 0.25
    assert rows["set, without room for an answer"].value == 1.0


def test_each_different_prompt_is_asked_once_and_never_again_by_a_later_run(tmp_path: Path) -> None:
    engine, kept = ScriptedEngine(), tmp_path / "kept.jsonl"
    engine.enqueue("SELECT 1", "SELECT 2")
    prompts = [_prompt("b"), _prompt("a"), _prompt("b")]
    assert _answers(engine, kept).to(prompts) == ["SELECT 2", "SELECT 1", "SELECT 2"]
    assert [call.messages[0]["content"] for call in engine.calls] == ["a", "b"]
    assert engine.calls[0].sampling.temperature == 0.0

    engine.enqueue("SELECT 3")
    assert _answers(engine, kept).to([*prompts, _prompt("c")])[-2:] == ["SELECT 2", "SELECT 3"]


def test_a_prompt_without_room_has_no_answer_and_a_failing_engine_ends_the_run(tmp_path: Path) -> None:
    engine = ScriptedEngine()
    engine.enqueue(ContextTooLong("scripted", 400, "too long"))
    assert _answers(engine, tmp_path / "kept.jsonl").to([_prompt("a")]) == [None]
    assert _answers(ScriptedEngine(window_tokens=50), tmp_path / "other.jsonl").to([_prompt("a")]) == [None]
    engine.enqueue(EngineUnreachable("scripted", None))
    with pytest.raises(EngineFailed, match="a prompt got no answer"):
        _answers(engine, tmp_path / "kept.jsonl").to([_prompt("b")])


def test_made_up_dialogues_follow_up_on_two_questions_and_all_statements_run(traffic: Traffic) -> None:
    assert all([turn.turn for turn in dialogue] == [0, 1, 2, 3] for dialogue in traffic.dialogues)
    for request in (*traffic.questions, *(turn for dialogue in traffic.dialogues for turn in dialogue)):
        assert request.database is not None
        with sqlite3.connect(request.database) as database:
            assert database.execute(request.answer).fetchall()


def test_some_of_a_set_are_among_more_of_it(traffic: Traffic) -> None:
    both = RunnableSet("made-up", (traffic, traffic))
    few, more = both.some(traffic, 4), both.some(traffic, 10)
    assert (len(few.questions), len(more.questions)) == (2, 5)
    assert more.questions[:2] == few.questions
    assert (len(few.dialogues), len(more.dialogues)) == (1, 2)
    assert more.dialogues[:1] == few.dialogues
    assert both.some(traffic, None) == traffic


def test_what_one_of_two_prompts_alone_has_right_is_counted_for_its_order(
    traffic: Traffic, embedder: SentenceEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evals.bench.prefix.accuracy_section.PLANNER_BLOCKS", 0)  # a third prompt would take answers
    rows = _rows(traffic, embedder)
    for what, count in (("questions", len(traffic.questions)), ("later turns", 9)):
        differ, alone = rows[f"made-up {what}, prompts that differ"], rows[f"made-up {what}, right in ours alone"]
        accuracy = rows[f"made-up {what}, accuracy"]
        assert (differ.n, accuracy.n) == (count, count)
        assert differ.value is not None
        assert alone.value is not None
        assert accuracy.value is not None
        assert alone.value + alone.baseline["by score"] == pytest.approx(differ.value * count)
        assert accuracy.value + accuracy.baseline["by score"] == pytest.approx(2 - differ.value)
        assert accuracy.baseline["planned"] == accuracy.value
    assert rows["made-up questions, prompts that differ"].value
    assert rows["made-up questions, planned prompts that differ"].value == 0


def test_what_the_planner_orders_otherwise_is_asked_too(traffic: Traffic, embedder: SentenceEmbedder) -> None:
    rows = _rows(traffic, embedder)
    differ, lost = (
        rows["made-up questions, planned prompts that differ"],
        rows["made-up questions, accuracy, planned − ours"],
    )
    assert differ.value
    assert lost.value


def test_other_orders_hold_the_tables_that_a_later_turn_of_ours_leaves_out(
    traffic: Traffic, embedder: SentenceEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.new_tables.LACKED", 1)
    monkeypatch.setattr("gateway.new_tables.LIKELY", 1.0)
    engine = CountingEngine(SHIPPED_FOLDER)
    with stream_world(traffic.items, engine, Remembering(embedder)) as world:
        played = Player(world, engine, lambda _: None).play("b", interleaved(traffic.dialogues, "some"))
    left_out = [one.request.turn for one in played if _tables(one.by_itself) - _tables(one.prepared)]
    assert left_out
    assert 0 not in left_out


def _tables(prepared: Prepared) -> set[str]:
    return {hit.item.id for hit in prepared.retrieval.of_kind("schema")}


def _rows(traffic: Traffic, embedder: SentenceEmbedder) -> dict[str, Row]:
    answers = GreedyAnswers(SHIPPED_ENGINE, None, lambda _: None, engine=Forgetful(_known(traffic)))
    asked, counting = RunnableSet("made-up", (traffic,)), CountingEngine(SHIPPED_FOLDER)
    found = accuracy_rows(asked, 10, None, answers, counting, Remembering(embedder), lambda _: None)
    return {row.name: row for row in found}


def _known(traffic: Traffic) -> dict[str, str]:
    """What was said in a conversation up to its question → the statement that answers it."""
    known = {request.question: request.answer for request in traffic.questions}
    for dialogue in traffic.dialogues:
        said: list[str] = []
        for turn in dialogue:
            known["\n".join([*said, turn.question])] = turn.answer
            said += [turn.question, turn.answer]
    return known


def _answers(engine: ScriptedEngine, kept: Path) -> GreedyAnswers:
    return GreedyAnswers(SHIPPED_ENGINE, KeptPieces(kept), lambda _: None, engine=engine)


def _prompt(text: str) -> Prompt:
    return prompt_of([{"role": "user", "content": text}])
