"""Several simulations of one trace, on several cores where the system can fork."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass

from backend.simulation.simulate import Machine, PolicyResult, simulate
from backend.simulation.store_gate import StoreGate
from backend.simulation.tiers import TierSpec
from backend.simulation.trace import Trace

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Case:
    """The optimum takes no notice of `gate`."""

    policy: str
    tiers: tuple[TierSpec, ...]
    machine: Machine
    gate: StoreGate


@dataclass(frozen=True)
class CaseResult:
    """`gap_closed` is the share of the way from LRU's hit rate to the optimum's at the same sizes, in blocks; `None`
    where not both were simulated, or there is no way between them.
    """

    case: Case
    result: PolicyResult
    gap_closed: float | None


def run_cases(trace: Trace, cases: list[Case], jobs: int, progress: Progress | None = None) -> list[CaseResult]:
    """The results in the order of `cases`; `jobs` of them at a time. Raises `SimulationOptionInvalid`."""
    results: list[PolicyResult | None] = [None] * len(cases)
    for number, result in _results(trace, cases, jobs, progress):
        results[number] = result
        if progress:
            progress(f"{result.policy}: {result.block_hit_rate:.4f} of blocks hit ({result.cpu_seconds:.1f} s)")
    finished = [result for result in results if result is not None]
    return [
        CaseResult(case, result, _gap_closed(case, result, cases, finished))
        for case, result in zip(cases, finished, strict=True)
    ]


def _results(
    trace: Trace, cases: list[Case], jobs: int, progress: Progress | None
) -> Iterator[tuple[int, PolicyResult]]:
    jobs = min(jobs, len(cases))
    if jobs < 2 or "fork" not in multiprocessing.get_all_start_methods():
        for number, case in enumerate(cases):
            yield number, _simulate(trace, case, progress)
        return
    # A forked worker has the trace without a copy of it.
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(jobs, mp_context=context, initializer=_remember, initargs=(trace, progress)) as pool:
        waiting = {pool.submit(_simulate_remembered, case): number for number, case in enumerate(cases)}
        for done in as_completed(waiting):
            yield waiting[done], done.result()


def _simulate(trace: Trace, case: Case, progress: Progress | None) -> PolicyResult:
    return simulate(trace, case.tiers, case.policy, case.machine, case.gate, progress)


_of_worker: list[tuple[Trace, Progress | None]] = []


def _remember(trace: Trace, progress: Progress | None) -> None:
    _of_worker.append((trace, progress))


def _simulate_remembered(case: Case) -> PolicyResult:
    trace, progress = _of_worker[0]
    return _simulate(trace, case, progress)


def _gap_closed(case: Case, result: PolicyResult, cases: list[Case], results: list[PolicyResult]) -> float | None:
    rates = {
        other.policy: theirs.block_hit_rate
        for other, theirs in zip(cases, results, strict=True)
        if other.tiers == case.tiers
    }
    if "lru" not in rates or rates.get("optimum", rates["lru"]) <= rates["lru"]:
        return None
    return (result.block_hit_rate - rates["lru"]) / (rates["optimum"] - rates["lru"])
