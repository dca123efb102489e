"""The benchmark of version control and retrieval, on bases small enough to count by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner

from evals.bench.cli import group
from evals.bench.errors import ReplicaEnded
from evals.bench.kb.large_base import edited, item, large_base
from evals.bench.kb.retrieval import _until, retrieval_rows
from evals.bench.kb.stand_ins import NOISE, StandIns
from evals.bench.kb.versions import version_rows
from evals.bench.kb.warehouse import edited_item, warehouse_item
from evals.bench.row import Asked
from kb.embedding import SentenceEmbedder
from kb.search_text import search_text


def test_a_large_base_holds_the_same_items_each_time() -> None:
    with large_base(40) as base:
        items = base.snapshot().items
        assert set(items.values()) == {item(number) for number in range(40)}
        kinds = [each.kind for each in items.values()]
        assert {kind: kinds.count(kind) for kind in set(kinds)} == {
            "schema": 4,
            "metric": 4,
            "gotcha": 4,
            "success": 28,
        }


def test_an_edition_is_a_change_of_that_item_alone() -> None:
    assert edited(3, 1) != item(3)
    assert edited(3, 1) != edited(3, 2)
    assert edited(3, 1).id == item(3).id


def test_every_figure_is_measured_and_nothing_is_lost() -> None:
    told: list[str] = []
    rows = {row.name: row for row in version_rows(told.append, large=1_500, commits=40)}
    assert [row.n for row in rows.values()] == [40, 40, 50, 40, 40, 40, 40]
    for what in ("lost commits", "missing items", "broken objects"):
        assert rows[f"10 processes at once, {what}"].value == 0
    copies = rows["storage of 40 commits of one item, 1,500 items"].value
    assert copies is not None
    assert 0 < copies < 0.05
    assert told


def test_a_warehouse_holds_the_same_items_each_time_each_with_an_id_of_its_own() -> None:
    items = [warehouse_item(number) for number in range(1_000)]
    assert items == [warehouse_item(number) for number in range(1_000)]
    assert len({item.id for item in items}) == 1_000
    kinds = [item.kind for item in items]
    of_two = {"schema": 120, "relationship": 120, "metric": 120, "gotcha": 120, "document": 120}
    assert {kind: kinds.count(kind) for kind in set(kinds)} == {**of_two, "rule": 5, "success": 395}


def test_an_edited_metric_is_one_of_the_warehouse_with_a_text_of_its_own() -> None:
    items = {item.id: item for item in map(warehouse_item, range(1_000))}
    for number in (0, 499, 999):
        edited = edited_item(number, 1)
        assert search_text(edited) not in {search_text(items[edited.id]), search_text(edited_item(number, 2))}


def test_stand_ins_are_unit_vectors_near_real_ones_and_the_same_each_time(embedder: SentenceEmbedder) -> None:
    stand_ins = StandIns(embedder)
    examples, texts = ["orders of customers", "the weight of parcels"], [f"text {number}" for number in range(40)]
    with stand_ins.made_up(examples):
        made = stand_ins.embed(texts)
        assert (made == stand_ins.embed(texts)).all()
    assert np.linalg.norm(made, axis=1) == pytest.approx(1.0, abs=1e-6)
    nearest = (made @ embedder.embed(examples).T).max(axis=1)
    assert nearest == pytest.approx(1 / np.sqrt(1 + NOISE**2), abs=0.1)
    assert (stand_ins.embed(["a question"]) == embedder.embed(["a question"])).all()


def test_retrieval_is_measured_at_the_head_far_behind_it_and_in_a_replica(embedder: SentenceEmbedder) -> None:
    told: list[str] = []
    rows = {row.name: row for row in retrieval_rows(embedder, told.append, items=1_000, commits=20, questions=15)}
    assert [row.n for row in rows.values()] == [15, 15, 5, 20, 20, 20]
    assert all(row.value is not None and row.value > 0 for row in rows.values())
    assert rows["retrieval 20 commits back, beside the head"].asked == Asked(at_most=1.3)
    assert told


def test_a_replica_that_ends_early_is_told() -> None:
    with pytest.raises(ReplicaEnded, match="ended before it had commit abcdef"):
        _until(iter([("other", 1.0)]), "abcdef0123456789")


def test_acknowledged_commits_that_are_not_there_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    from kb.knowledge_base import KnowledgeBase

    whole = KnowledgeBase.log
    monkeypatch.setattr(KnowledgeBase, "log", lambda base, *given, **named: whole(base, *given, **named)[3:])
    rows = {row.name: row for row in version_rows(lambda _: None, large=1_000, commits=20)}
    lost = rows["10 processes at once, lost commits"]
    assert (lost.value, lost.ok) == (3, False)


def test_the_command_prints_the_form_of_all_benchmarks() -> None:
    result = CliRunner().invoke(group, ["kb", "--items", "1000", "--commits", "20", "--only", "versions", "--json"])
    assert result.exit_code == 0, result.output
    printed = json.loads(result.stdout)
    assert len(printed["rows"]) == 7
    assert printed["machine"]["cores"]
