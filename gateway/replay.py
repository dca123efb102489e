"""What a proposal's replay reports, and the contract of what makes one.

`evals` implements `Replay`; it is handed to `create_app`, so that the gateway needs no import of it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, Protocol

from gateway.core import Assistant, Core

CaseVerdict = Literal["better", "same", "worse", "flaky", "undecided"]
ReplayVerdict = Literal["clean", "regression", "undecided"]


@dataclass(frozen=True, slots=True)
class CaseOutcome:
    """One side of a case: how many of its repeats passed, and the reason of the last failure."""

    passed: int
    repeats: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class CaseReplay:
    """A case at base and head. `prompt_changed` is false where both sides have one prompt, so no engine was asked.

    An outcome is `None` where it could not be judged.
    """

    id: str
    question: str
    prompt_changed: bool
    base: CaseOutcome | None
    head: CaseOutcome | None
    verdict: CaseVerdict
    detail: str = ""


@dataclass(frozen=True, slots=True)
class ReplayReport:
    """`base` and `head` are commit ids."""

    base: str
    head: str
    verdict: ReplayVerdict
    cases: tuple[CaseReplay, ...]
    engine_calls: int

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


class Replay(Protocol):
    def __call__(self, core: Core, assistant: Assistant, base: str, head: str) -> ReplayReport:
        """Replay the assistant's suite and every confirmed success of `head` at both commits.

        Engine errors make a case undecided; they never raise.
        """
