"""The fit of `kb.table_chances.ChanceWeights`, on questions about other databases than those of the benchmark.

Two small models, each with one weight a feature: which database a question is about (a softmax over databases), and
which of its tables it needs (logistic). Every question is taken four times: as it is and without the words that only
its columns' names have (as Spider-Realistic does by hand), each with and without sampled values in the base. A
database counts by the root of its questions, so that no few of them speak for all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from evals.bench.kb.table_recall import K, one_base
from evals.bench.kb.table_values import with_values
from evals.bench.remembering import Remembering
from evals.bench.row import Row
from evals.bench.spider import TableQuestion, load_joins, load_questions, load_schemas, of_databases
from kb.commit_index import CommitIndex
from kb.commit_indexes import CommitIndexes
from kb.dense_index import DenseIndex
from kb.embedding import Embedder, StoredEmbedder
from kb.items import Item, Schema
from kb.table_chances import (
    ChanceWeights,
    DatabaseWeights,
    TableEvidence,
    TableWeights,
    chances,
    join_features,
    table_features,
    voice_features,
)
from kb.words import stems, words

TRAINING = "train1196"
BENCHMARKS = ("dev", "realistic")
SHRINKAGE = 1e-3
_LEAST_WORDS = 4


@dataclass(frozen=True, slots=True)
class Example:
    """One question in one base: what is known of each table, and which tables it needs. `about` is its database."""

    evidence: TableEvidence
    needed: NDArray[np.bool_]
    about: int
    database: str


def fitted_weights(folder: Path, embedder: Embedder, say: Callable[[str], None], every: int = 1) -> list[Row]:
    """The weights, and what weights of each half of the databases are worth on the other. Raises `DataUnavailable`."""
    examples = _examples(folder, Remembering(embedder), say, every)
    databases = sorted({example.database for example in examples})
    rows: list[Row] = []
    for one, other in ((databases[::2], databases[1::2]), (databases[1::2], databases[::2])):
        weights = fit([example for example in examples if example.database in one])
        for name, half in (("chose", one), ("check", other)):
            found = [_share(example, weights) for example in examples if example.database in half]
            title = f"recall@{K}, {len(half)} databases that {name}"
            rows.append(Row(title, float(np.mean(found)) if found else None, "share", len(found)))
    weights = fit(examples)
    for part in (weights.database, weights.table):
        for field in fields(part):
            rows.append(Row(f"{type(part).__name__}.{field.name}", getattr(part, field.name), "weight", len(examples)))
    return rows


def fit(examples: Sequence[Example]) -> ChanceWeights:
    counts = {name: sum(example.database == name for example in examples) for name in {e.database for e in examples}}
    shares = torch.tensor([counts[example.database] ** -0.5 for example in examples])
    return ChanceWeights(_fit_databases(examples, shares / shares.sum()), _fit_tables(examples, shares))


def _fit_databases(examples: Sequence[Example], shares: torch.Tensor) -> DatabaseWeights:
    database = torch.tensor(np.array([example.evidence.database for example in examples]), dtype=torch.int64)
    voices = torch.tensor(np.array([np.stack(voice_features(example.evidence), 1) for example in examples]))
    coverage = torch.tensor(np.array([example.evidence.names.coverage for example in examples]))
    about = torch.tensor([example.about for example in examples])
    scale = _scale(torch.cat([voices.std((0, 1)), coverage.std().reshape(1)]))

    def loss(weights: torch.Tensor) -> torch.Tensor:
        said = voices @ (weights[:-1] / scale[:-1])
        loudest = torch.full(coverage.shape, -torch.inf, dtype=said.dtype).scatter_reduce(1, database, said, "amax")
        odds = torch.exp(said - loudest.gather(1, database))
        mass = loudest + torch.log(torch.zeros_like(coverage).scatter_add(1, database, odds))
        mass = mass + coverage * (weights[-1] / scale[-1])
        right = mass.gather(1, about[:, None])[:, 0] - torch.logsumexp(mass, 1)
        return -(right * shares).sum()

    return DatabaseWeights(*(_minimum(loss, len(scale), shrunk=len(scale)) / scale).tolist())


def _fit_tables(examples: Sequence[Example], shares: torch.Tensor) -> TableWeights:
    inside = [example.evidence.database == example.about for example in examples]
    given = [np.stack(_all_features(e.evidence), 1)[own] for e, own in zip(examples, inside, strict=True)]
    features = torch.tensor(np.concatenate(given))
    needed = torch.tensor(np.concatenate([e.needed[own] for e, own in zip(examples, inside, strict=True)])).double()
    importance = torch.repeat_interleave(shares, torch.tensor([len(rows) for rows in given]))
    importance = importance / importance.sum()
    bias = [field.name for field in fields(TableWeights)].index("bias")
    scale, middle = _scale(features.std(0)), features.mean(0)
    scale[bias], middle[bias] = 1.0, 0.0
    order = [*(place for place in range(len(scale)) if place != bias), bias]

    def loss(weights: torch.Tensor) -> torch.Tensor:
        logits = ((features - middle) / scale)[:, order] @ weights
        off = torch.nn.functional.binary_cross_entropy_with_logits(logits, needed, reduction="none")
        return (off * importance).sum()

    found = _minimum(loss, len(scale), shrunk=len(scale) - 1)
    weights = torch.empty_like(found)
    weights[order] = found
    weights = weights / scale
    weights[bias] -= (weights * middle).sum()
    return TableWeights(*weights.tolist())


def _scale(deviations: torch.Tensor) -> torch.Tensor:
    """A feature that is the same everywhere, such as values where none are sampled, weighs nothing at any scale."""
    return torch.where(deviations > 0, deviations, torch.ones_like(deviations))


def _all_features(evidence: TableEvidence) -> tuple[NDArray[np.float64], ...]:
    joins = np.array([join_features(evidence, place) for place in range(len(evidence.database))])
    return *table_features(evidence), joins[:, 0], joins[:, 1]


def _minimum(loss: Callable[[torch.Tensor], torch.Tensor], size: int, *, shrunk: int) -> torch.Tensor:
    """The weights of the least loss; the first `shrunk` of them are held near 0."""
    weights = torch.full((size,), 0.1, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([weights], max_iter=100, line_search_fn="strong_wolfe")

    def step() -> torch.Tensor:
        optimizer.zero_grad()
        value = loss(weights) + SHRINKAGE * (weights[:shrunk] ** 2).sum()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    optimizer.step(step)  # type: ignore[no-untyped-call]
    return weights.detach()


def _share(example: Example, weights: ChanceWeights) -> float:
    best = np.argsort(-chances(example.evidence, weights).table, kind="stable")[:K]
    return float(example.needed[best].sum() / example.needed.sum())


def _examples(folder: Path, embedder: Remembering, say: Callable[[str], None], every: int) -> list[Example]:
    schemas, joins = load_schemas(folder), load_joins(folder)
    held = {question.database for split in BENCHMARKS for question in load_questions(folder, split)}
    learned = {name: items for name, items in schemas.items() if name not in held}
    tables = {item.id: item for items in learned.values() for item in items}
    questions = of_databases(load_questions(folder, TRAINING), learned)[::every]
    asked = [*questions, *(other for question in questions if (other := _unnamed(question, tables)) is not None)]
    say(f"{len(asked)} questions about {len(learned)} databases, {len(tables)} tables")
    embedder.embed([question.question for question in asked])
    related = [item for name in learned for item in joins[name]]
    found: list[Example] = []
    for items in (list(tables.values()), with_values(folder, tables.values())):
        index = _index([*items, *related], embedder)
        found.extend(_example(question, index, embedder) for question in asked)
    return found


def _index(items: Iterable[Item], embedder: Embedder) -> CommitIndex:
    base = one_base(items)
    dense = DenseIndex(embedder.dimension)
    return CommitIndexes(StoredEmbedder(embedder, base.store), dense, kept=1, bases=1).at(base, base.resolve())


def _example(question: TableQuestion, index: CommitIndex, embedder: Embedder) -> Example:
    vector = embedder.embed([question.question])[0]
    evidence = index.evidence(question.question, vector, index.entities.find(question.question))
    tables = [item for item in evidence.candidates.items if item.kind == "schema"]
    needed = np.array([item.id in question.needed for item in tables])
    about = int(evidence.tables.database[np.flatnonzero(needed)[0]])
    return Example(_remembered(evidence.tables), needed, about, question.database)


def _remembered(evidence: TableEvidence) -> TableEvidence:
    """With its neighbours looked up, since they are asked for again and again."""
    neighbours = [evidence.neighbours(place) for place in range(len(evidence.database))]
    return replace(evidence, neighbours=neighbours.__getitem__)


def _unnamed(question: TableQuestion, tables: dict[str, Item]) -> TableQuestion | None:
    """Without the words that name columns of the needed tables and no table; `None` where nothing of it is left."""
    bodies = [body for key in sorted(question.needed) if isinstance(body := tables[key].body, Schema)]
    of_tables = {stem for body in bodies for stem in stems(body.table)}
    of_columns = {stem for body in bodies for column in body.columns for stem in stems(column.name)}
    said = words(question.question)
    kept = [word for word in said if word.stem not in of_columns - of_tables]
    if len(kept) == len(said) or len(kept) < _LEAST_WORDS:
        return None
    return replace(question, question=" ".join(question.question[word.start : word.end] for word in kept))
