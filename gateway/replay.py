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
Unit = Literal["tokens", "characters"]
Rightness = Literal["right", "wrong", "undecided", "away"]


@dataclass(frozen=True, slots=True)
class CaseOutcome:
    """One side of a case: how many of its repeats passed, the reason of the last failure, and what was answered.

    `answer` is the last answer that failed, else the last one; empty where none was needed.
    """

    passed: int
    repeats: int
    reason: str = ""
    answer: str = ""


@dataclass(frozen=True, slots=True)
class CaseReplay:
    """A case at base and head. `prompt_changed` is false where both sides have one prompt, so no engine was asked; such
    a case is not `same` where the tables that its stored answer reads have changed.

    An outcome is `None` where it could not be judged. Of a case that is `held_out`, the id and the verdict are all
    that is told. One on the flaky list (`flaky_listed`) is told and decides nothing.
    """

    id: str
    question: str
    prompt_changed: bool
    base: CaseOutcome | None
    head: CaseOutcome | None
    verdict: CaseVerdict
    detail: str = ""
    held_out: bool = False
    flaky_listed: bool = False


@dataclass(frozen=True, slots=True)
class PairedTest:
    """McNemar's exact test over `cases`, each of which passes at a commit if every one of its draws does.

    `lost` pass at base alone, `gained` at head alone. `p_value` is two-sided. `change` is that of the pass rate, as
    a share of 1, with its 95 % interval.
    """

    cases: int
    lost: int
    gained: int
    p_value: float
    change: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class PrefixCost:
    """What landing costs the cache, summed over the assistant's last `requests`.

    Of their system messages at base, `prefix_kept` begin those at head as well; `prefix_invalidated` are computed
    anew. Both are in `unit`: tokens of the assistant's engine, or characters where none can count.
    """

    requests: int
    prefix_kept: int
    prefix_invalidated: int
    unit: Unit


@dataclass(frozen=True, slots=True)
class ReplayReport:
    """`base` and `head` are commit ids. `stored_answers` were drawn earlier, so that no engine was asked.

    `paired` is `None` where no case was judged, `prefix` where the assistant has no requests yet.
    """

    base: str
    head: str
    verdict: ReplayVerdict
    cases: tuple[CaseReplay, ...]
    engine_calls: int
    stored_answers: int = 0
    paired: PairedTest | None = None
    prefix: PrefixCost | None = None

    def of_verdict(self, verdict: CaseVerdict) -> tuple[CaseReplay, ...]:
        return tuple(case for case in self.cases if case.verdict == verdict)

    @property
    def suspects(self) -> tuple[CaseReplay, ...]:
        """What makes a regression: the cases that are worse, else the flaky ones, which only together are."""
        return self.of_verdict("worse") or tuple(c for c in self.of_verdict("flaky") if not c.flaky_listed)

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
