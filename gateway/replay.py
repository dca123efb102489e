"""What a proposal's replay and the judging of single answers report, and the contract of what makes them.

`evals` implements `Replay`; it is handed to `create_app`, so that the gateway needs no import of it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, Protocol

from gateway.core import Assistant, Core
from gateway.traces import Trace

CaseVerdict = Literal["better", "same", "worse", "flaky", "undecided"]
ReplayVerdict = Literal["clean", "regression", "undecided"]
Rightness = Literal["right", "wrong", "undecided", "away"]


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


@dataclass(frozen=True, slots=True)
class Judged:
    """Whether answers give the result that they should. `right` are all of them, `wrong` most of them; `undecided`
    also where they waver. `away` is something outside, so that it may be asked again later.
    """

    outcome: Rightness
    detail: str = ""
    engine_calls: int = 0


class Replay(Protocol):
    def __call__(self, core: Core, assistant: Assistant, base: str, head: str) -> ReplayReport:
        """Replay the assistant's suite and every confirmed success of `head` at both commits.

        Engine errors make a case undecided; they never raise.
        """

    def same_result(self, assistant: Assistant, answer: str, accepted: str) -> Judged:
        """Whether both answers' statements give one result on the assistant's datasource now."""

    def try_at(self, core: Core, assistant: Assistant, trace: Trace, accepted: str, commit: str) -> Judged:
        """Put the conversation of `trace` to the engine at `commit`, as often as the assistant repeats a case, and
        judge its answers by the result of `accepted`. Nothing that users see is stored.
        """
