"""Questions that nobody here wrote, with the knowledge base that each is asked on, as it grows step by step."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from evals.bench.errors import DataUnavailable
from kb.items import Item

Measure = Literal["execution match", "SQL equality"]
"""Execution match where there is a database, else the equality of the normalised statements (`sql_equality.py`)."""


@dataclass(frozen=True, slots=True)
class Question:
    """`gold` are the accepted statements, at least one."""

    id: str
    text: str
    gold: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """A state of the base: `added` to the step before. `confirmed` counts the confirmed answers it holds, where the
    step is a point of a learning curve."""

    label: str
    added: tuple[Item, ...] = ()
    confirmed: int | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """Questions about one database, asked on one knowledge base at each of its steps."""

    database: str
    file: Path | None
    questions: tuple[Question, ...]
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class QuestionSet:
    """All groups have the same step labels. `clock` is the moment at which its data says "now" (ISO, UTC)."""

    name: str
    measure: Measure
    groups: tuple[Group, ...]
    clock: str | None = None

    @property
    def is_curve(self) -> bool:
        return any(step.confirmed is not None for group in self.groups for step in group.steps)


def records(path: Path) -> list[dict[str, Any]]:
    """The objects of a JSON-lines file. Raises `DataUnavailable`."""
    try:
        listed = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except OSError as exc:
        raise DataUnavailable(path, exc.strerror or "cannot be read") from exc
    except ValueError as exc:
        raise DataUnavailable(path, f"not a file of JSON lines ({exc})") from exc
    if not listed:
        raise DataUnavailable(path, "it holds no question")
    return listed
