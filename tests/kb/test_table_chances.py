"""The chance that a table is needed, with weights small enough to work out by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields

import numpy as np
import pytest

from kb.name_words import WordEvidence
from kb.table_chances import ChanceWeights, DatabaseWeights, TableEvidence, TableWeights, chances

NO_TABLE = TableWeights(**{field.name: 0.0 for field in fields(TableWeights)})
NO_DATABASE = DatabaseWeights(**{field.name: 0.0 for field in fields(DatabaseWeights)})


def evidence(
    cosine: Sequence[float],
    database: Sequence[int],
    *,
    own: Sequence[float] = (),
    coverage: Sequence[float] = (),
    joins: Mapping[int, Sequence[int]] | None = None,
) -> TableEvidence:
    size = len(cosine)
    nothing = np.zeros(size)
    names = WordEvidence(
        np.array(own or nothing),
        nothing,
        nothing,
        nothing,
        np.array(coverage or np.zeros(max(database, default=-1) + 1)),
    )
    return TableEvidence(
        np.array(database, dtype=np.int32),
        np.array(cosine),
        nothing,
        names,
        nothing,
        nothing,
        lambda place: np.array((joins or {}).get(place, ()), dtype=np.int32),
    )


def weights(database: DatabaseWeights = NO_DATABASE, table: TableWeights = NO_TABLE) -> ChanceWeights:
    return ChanceWeights(database, table)


def only(kind: type, **given: float) -> object:
    return kind(**{field.name: given.get(field.name, 0.0) for field in fields(kind)})


def test_without_evidence_every_database_counts_by_its_tables_and_every_table_half() -> None:
    found = chances(evidence([0, 0, 0, 0], [0, 0, 0, 1]), weights())
    assert found.database.tolist() == pytest.approx([0.75, 0.75, 0.75, 0.25])
    assert found.table.tolist() == pytest.approx([0.375, 0.375, 0.375, 0.125])


def test_tables_of_a_database_speak_for_each_other() -> None:
    speaking = only(DatabaseWeights, cosine=1.0)
    found = chances(evidence([np.log(3), 0, np.log(2), np.log(2)], [0, 0, 1, 1]), weights(speaking))  # type: ignore[arg-type]
    assert found.database.tolist() == pytest.approx([0.5, 0.5, 0.5, 0.5])


def test_coverage_is_the_databases_own() -> None:
    covering = only(DatabaseWeights, coverage=1.0)
    found = chances(evidence([0, 0], [0, 1], coverage=[np.log(3), 0]), weights(covering))  # type: ignore[arg-type]
    assert found.database.tolist() == pytest.approx([0.75, 0.25])


def test_a_table_is_judged_beside_the_best_of_its_database() -> None:
    judging = only(TableWeights, cosine=1.0)
    found = chances(evidence([0.9, 0.9 - np.log(3), 0.1], [0, 0, 1]), weights(table=judging))  # type: ignore[arg-type]
    assert (found.table / found.database).tolist() == pytest.approx([0.5, 0.25, 0.5])


def test_a_table_gains_by_what_it_is_joined_with() -> None:
    joining = only(TableWeights, neighbour=1.0, joins=1.0)
    asked = evidence([0, 0, 0], [0, 0, 0], own=[np.log(3), 0, 0], joins={1: [0, 2], 2: [1]})
    found = chances(asked, weights(table=joining))  # type: ignore[arg-type]
    # log(1 + 2) for two neighbours and log 3 for the better: odds of 9; one neighbour of nothing: odds of 2.
    assert found.table.tolist() == pytest.approx([0.5, 0.9, 2 / 3])


def test_the_order_of_the_tables_changes_nothing() -> None:
    random = np.random.default_rng(7)
    cosine, database = random.random(40), random.integers(0, 6, 40)
    turned = random.permutation(40)
    found = chances(evidence([*cosine], [*database]), ChanceWeights())
    other = chances(evidence([*cosine[turned]], [*database[turned]]), ChanceWeights())
    assert other.table.tolist() == found.table[turned].tolist()
    assert other.database.tolist() == found.database[turned].tolist()


def test_numbers_of_databases_that_no_table_has_take_no_chance() -> None:
    found = chances(evidence([0, 0], [2, 5]), weights())
    assert found.database.tolist() == pytest.approx([0.5, 0.5])


def test_no_tables_no_chances() -> None:
    assert chances(evidence([], []), ChanceWeights()).table.tolist() == []


def test_one_database_is_what_every_question_is_about() -> None:
    assert chances(evidence([0.2, 0.4], [3, 3]), ChanceWeights()).database.tolist() == [1.0, 1.0]
