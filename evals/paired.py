"""McNemar's exact test (1947) over the cases of a replay: does one commit pass more cases than the other?

Only cases that pass at one commit alone say something. If the change did nothing, each of them was as likely to fall
on either side, which is a binomial of one half. Given how many they are, the exact (Clopper-Pearson) interval of the
share that was gained gives the interval of the change: it leaves out zero just where the test finds a difference.
"""

from __future__ import annotations

from collections.abc import Iterable

from gateway.replay import CaseOutcome, CaseReplay, PairedTest


def paired_test(cases: Iterable[CaseReplay]) -> PairedTest | None:
    """`None` where no case was judged. Cases on the flaky list are left out; the same prompt is the same result."""
    judged = [case for case in cases if case.verdict != "undecided" and not case.flaky_listed]
    if not judged:
        return None
    lost = sum(_passes(case.base) and not _passes(case.head) for case in judged)
    gained = sum(_passes(case.head) and not _passes(case.base) for case in judged)
    return _tested(len(judged), lost, gained)


def _tested(cases: int, lost: int, gained: int) -> PairedTest:
    moved = lost + gained
    if moved == 0:
        return PairedTest(cases, 0, 0, 1.0, 0.0, 0.0, 0.0)
    # Imported here: --help does not wait for it.
    from scipy.stats import binomtest

    test = binomtest(gained, moved, 0.5)
    share = test.proportion_ci(0.95, method="exact")

    def change(gained_share: float) -> float:
        return moved / cases * (2 * gained_share - 1)

    return PairedTest(
        cases,
        lost,
        gained,
        float(test.pvalue),
        change(gained / moved),
        change(float(share.low)),
        change(float(share.high)),
    )


def _passes(outcome: CaseOutcome | None) -> bool:
    return outcome is not None and outcome.passed == outcome.repeats
