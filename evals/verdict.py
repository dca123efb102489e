"""What the draws of both commits say about a case, and the cases about a change.

Per case: `worse` where head passes so much less often that another draw would not turn it: by more than half of the
repeats, or by more than chance explains (Fisher's exact test, one-sided, p ≤ 0.05, for many repeats). `better` is
the mirror image. A smaller difference is `flaky`: 3 of 3 against 2 of 3 says that the engine wavers, not that
knowledge got worse. What seems better or worse in a few draws is drawn for again (`evals.replay.AGAIN`) and judged by
all draws. A single repeat is taken at its word, so set repeats where the engine samples. A case that fails on both
sides is `same`: the change did not break it.

Over the cases: one that is worse is enough. Where each drop alone may be noise, their sum may not be: McNemar's exact
test (`evals.paired`) tells (docs/decisions/020).
"""

from __future__ import annotations

from collections.abc import Iterable
from math import comb

from evals.scoring import Tally
from gateway.replay import CaseReplay, CaseVerdict, PairedTest, ReplayVerdict

SIGNIFICANCE = 0.05


def case_verdict(base: Tally, head: Tally) -> CaseVerdict:
    """Both are of as many repeats. Having no engine to ask is a failure where the other side has a verified answer."""
    assert base.repeats == head.repeats, "sides are compared at equal repeats"
    undecided = [side for side in (base, head) if side.status == "undecided"]
    if len(undecided) == 2 or any(cannot_be_decided(side) for side in undecided):
        return "undecided"
    before, after, repeats = _passed(base), _passed(head), base.repeats
    if before == after:
        return "same"
    if 2 * abs(before - after) > repeats or _chance(max(before, after), min(before, after), repeats) <= SIGNIFICANCE:
        return "better" if after > before else "worse"
    return "flaky"


def cannot_be_decided(side: Tally) -> bool:
    """Whether one side alone leaves the case undecided, whatever the other's draws."""
    return side.status == "undecided" and not _has_no_engine(side)


def replay_verdict(cases: Iterable[CaseReplay], paired: PairedTest | None) -> ReplayVerdict:
    """One worse case is a regression, whatever else got better, and so is a loss over all that is no chance.

    Else one undecided case leaves all undecided. Cases on the flaky list have no say.
    """
    verdicts = {case.verdict for case in cases if not case.flaky_listed}
    if "worse" in verdicts or (paired is not None and _lost_on_the_whole(paired)):
        return "regression"
    return "undecided" if "undecided" in verdicts else "clean"


def _lost_on_the_whole(paired: PairedTest) -> bool:
    return paired.lost > paired.gained and paired.p_value <= SIGNIFICANCE


def _has_no_engine(side: Tally) -> bool:
    return side.last.reason == "ENGINE_MISSING"


def _passed(side: Tally) -> int:
    return 0 if side.status == "undecided" else side.passed


def _chance(more: int, fewer: int, repeats: int) -> float:
    """The probability that equal sides differ by that much: Fisher's exact test on `more` and `fewer` of `repeats`."""
    passed = more + fewer
    ways = comb(2 * repeats, passed)
    return sum(comb(repeats, k) * comb(repeats, passed - k) for k in range(more, min(repeats, passed) + 1)) / ways
