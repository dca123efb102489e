"""The benchmark of version control, on bases small enough to count by hand."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from evals.bench.cli import group
from evals.bench.kb.large_base import edited, item, large_base
from evals.bench.kb.versions import version_rows


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


def test_acknowledged_commits_that_are_not_there_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    from kb.knowledge_base import KnowledgeBase

    whole = KnowledgeBase.log
    monkeypatch.setattr(KnowledgeBase, "log", lambda base, *given, **named: whole(base, *given, **named)[3:])
    rows = {row.name: row for row in version_rows(lambda _: None, large=1_000, commits=20)}
    lost = rows["10 processes at once, lost commits"]
    assert (lost.value, lost.ok) == (3, False)


def test_the_command_prints_the_form_of_all_benchmarks() -> None:
    result = CliRunner().invoke(group, ["kb", "--items", "1000", "--commits", "20", "--json"])
    assert result.exit_code == 0, result.output
    printed = json.loads(result.stdout)
    assert len(printed["rows"]) == 7
    assert printed["machine"]["cores"]
