"""What a rule says: a symptom, the numbers it was judged from, a diagnosis, and the commands that mend it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """One number. `limit` is what it was compared with and `origin` where that comes from; without one it explains."""

    name: str
    value: float
    unit: str = ""
    limit: float | None = None
    origin: str = ""


@dataclass(frozen=True)
class Finding:
    """`name` is the rule's. `commands` are run one after the other, as they stand; `examples` show what was seen."""

    name: str
    symptom: str
    figures: tuple[Figure, ...]
    diagnosis: str
    commands: tuple[str, ...]
    examples: tuple[str, ...] = ()
