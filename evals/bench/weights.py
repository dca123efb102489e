"""The search for `kb.fusion.Weights`: on training databases alone, which the benchmark's questions never touch.

A grid over the three weights, scored by recall@5 with the product's own retrieval. Half of the databases (every
second, by name) choose; the other half only say what the choice is worth.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np

from evals.bench.remembering import Remembering
from evals.bench.retrieval import hybrid, recall
from evals.bench.row import Row
from evals.bench.spider import TableQuestion, load_questions, load_schemas, of_databases
from kb.embedding import Embedder
from kb.fusion import Weights
from kb.items import Item

TRAINING = "train1196"
GRID = {"sparse": (0.0, 0.2, 0.3, 0.4), "named": (0.0, 0.4, 0.6, 0.8), "database": (0.0, 0.3, 0.6, 1.0)}


@dataclass(frozen=True, slots=True)
class Trial:
    """Recall@5 of one choice of weights, on the databases that choose and on those that check."""

    weights: Weights
    chosen: float
    checked: float
    questions: int

    def to_row(self) -> Row:
        weights = self.weights
        name = f"sparse {weights.sparse}, named {weights.named}, database {weights.database}"
        return Row(name, self.chosen, "recall@5", self.questions, baseline={"on the checking half": self.checked})


def search_weights(folder: Path, embedder: Embedder, say: Callable[[str], None], every: int = 1) -> list[Trial]:
    """All trials, best first; `every` takes only each so many-th question. Raises `DataUnavailable`."""
    schemas = load_schemas(folder)
    questions = of_databases(load_questions(folder, TRAINING), schemas)[::every]
    databases = sorted({question.database for question in questions})
    halves = (databases[::2], databases[1::2])
    remembering = Remembering(embedder)
    trials: list[Trial] = []
    for values in product(*GRID.values()):
        weights = Weights(**dict(zip(GRID, values, strict=True)))
        chosen, checked = (_mean(questions, half, schemas, remembering, weights) for half in halves)
        trials.append(Trial(weights, chosen, checked, len(questions)))
        say(f"{weights}: {chosen:.4f} chosen, {checked:.4f} checked")
    return sorted(trials, key=lambda trial: -trial.chosen)


def _mean(
    questions: Sequence[TableQuestion],
    databases: Sequence[str],
    schemas: dict[str, list[Item]],
    embedder: Embedder,
    weights: Weights,
) -> float:
    tables = [item for database in databases for item in schemas[database]]
    found = recall(of_databases(questions, databases), hybrid(tables, embedder, weights))
    return float(np.mean(found.shares))
