"""Runs the sections that were asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

from backend.benching.figure import Skipped
from backend.benching.figures import (
    batch_figures,
    gate_figures,
    moved_figures,
    promotion_figures,
    slow_tier_figures,
    tier_figures,
    two_engines_figures,
    workload_figures,
)
from backend.benching.gate import GatePlan, gate_missing, measure_gate
from backend.benching.moved import measure_moved
from backend.benching.own_pair import (
    LARGE_KV,
    REFERENCE,
    ModelShape,
    bench_folder,
    make_bench_model,
    own_pair,
    profile_own,
    restarting,
)
from backend.benching.promotion import measure_promotion
from backend.benching.redis_server import redis_missing, shared_tier
from backend.benching.report import BenchReport
from backend.benching.slow_tier import measure_slow_tier
from backend.benching.target import Progress, Target, api_target, running_target
from backend.benching.tiers import measure_tiers, skipped_tiers
from backend.benching.two_engines import measure_two_engines
from backend.benching.workloads import WORKLOADS, measure_batch, measure_workload
from backend.errors import LaunchError, MeasurementFailed
from backend.launch_state import read_state
from backend.model_folder import model_folder
from backend.plan import LaunchOptions, has_gpu, make_plan
from backend.profiling.measure import profile_lengths

Section = Literal["tiers", "gate", "workloads", "slow-tier", "promotion", "two-engines", "blend"]
SECTIONS: tuple[Section, ...] = get_args(Section)
OF_A_PAIR: tuple[Section, ...] = ("tiers", "gate", "workloads")
"""These measure one pair, whoever started it. The others start what they need."""

_LENGTHS: dict[Section, tuple[int, ...]] = {
    "tiers": (1024, 2048, 4096, 8192),
    "slow-tier": (512, 1024, 2048),
    "promotion": (2048, 4096, 8192),
    "two-engines": (2048, 8192),
    "blend": (1024, 4096),
}
"""Of sections that start their own pairs."""


@dataclass(frozen=True)
class BenchPlan:
    """What to measure. `own` starts a pair for the sections of one; else they take that at `api_base`, else the one
    that runs from `home`. `model` is for pairs that the bench starts; without one it makes its own.

    `lengths` are in tokens, multiples of the chunk; without them, each section has its own.
    """

    home: Path
    sections: tuple[Section, ...] = OF_A_PAIR
    lengths: tuple[int, ...] | None = None
    repeats: int = 5
    api_base: str | None = None
    own: bool = False
    restart: bool = False
    model: Path | None = None
    redis: str | None = None


def run_bench(plan: BenchPlan, on_progress: Progress = lambda _: None) -> BenchReport:
    """Minutes; nothing else should use the pair, or the machine. A section that fails leaves the figures of the others.

    Raises `MeasurementFailed` where there is nothing to measure, and `LaunchError`.
    """
    report = BenchReport()
    of_a_pair = [section for section in OF_A_PAIR if section in plan.sections]
    if of_a_pair and not plan.own:
        _measure_given(plan, of_a_pair, report, on_progress)
    elif of_a_pair:
        with bench_folder(plan.home) as folder:
            _measure_own(plan, folder, of_a_pair, report, on_progress)
    for section in plan.sections:
        if section not in OF_A_PAIR:
            with bench_folder(plan.home) as folder, _kept_going(section, report):
                _measure_started(plan, section, folder, report, on_progress)
    return report


def _measure_given(plan: BenchPlan, sections: Sequence[Section], report: BenchReport, on_progress: Progress) -> None:
    if plan.api_base is not None:
        target = api_target(plan.api_base)
    else:
        state_dir = plan.home.expanduser().resolve() / "backend"
        options = read_state(state_dir).options
        restart = None
        if plan.restart and options is not None:
            restart = restarting(make_plan(options, plan.home), state_dir, on_progress)
        target = running_target(state_dir, restart)
    try:
        lengths = plan.lengths or profile_lengths(target.window_tokens, target.chunk_tokens)
        _measure_pair(plan, target, lengths, sections, report, on_progress)
    finally:
        target.pair.close()


def _measure_own(
    plan: BenchPlan, folder: Path, sections: Sequence[Section], report: BenchReport, on_progress: Progress
) -> None:
    """With a shared tier where there is a Redis for one."""
    options = _options(plan, folder, REFERENCE, on_progress)
    missing = redis_missing(plan.redis)
    lengths = plan.lengths or _LENGTHS["tiers"]
    with ExitStack() as stack:
        if missing is None:
            options = replace(options, shared_tier=stack.enter_context(shared_tier(plan.redis, folder)))
        target = stack.enter_context(own_pair(options, folder / "pair", on_progress))
        if missing is not None:
            target.missing["shared"] = missing
        target.check_lengths(lengths)
        if "gate" in sections:
            with _kept_going("gate: profile", report):
                profile_own(target, folder / "pair", lengths, on_progress)
        _measure_pair(plan, target, lengths, sections, report, on_progress)


def _measure_pair(
    plan: BenchPlan,
    target: Target,
    lengths: tuple[int, ...],
    sections: Sequence[Section],
    report: BenchReport,
    on_progress: Progress,
) -> None:
    target.check_lengths(lengths)
    if "tiers" in sections:
        report.skipped += skipped_tiers(target)
        with _kept_going("tiers", report):
            report.samples += measure_tiers(target, lengths, plan.repeats, on_progress)
            report.figures += tier_figures(report.samples, reference=plan.own and plan.model is None and not has_gpu())
    if "gate" in sections:
        if missing := gate_missing(target):
            report.skipped.append(missing)
        else:
            with _kept_going("gate", report):
                report.gate_samples += measure_gate(target, GatePlan(lengths, plan.repeats), on_progress)
                report.figures += gate_figures(report.gate_samples)
    if "workloads" in sections:
        for workload in WORKLOADS:
            with _kept_going(workload.name, report):
                requests = measure_workload(target, workload, max(lengths), on_progress)
                report.figures += workload_figures(workload.name, requests)
        with _kept_going("batch", report):
            report.figures += batch_figures(measure_batch(target, max(lengths), plan.repeats, on_progress))


@contextmanager
def _kept_going(section: str, report: BenchReport) -> Iterator[None]:
    try:
        yield
    except (MeasurementFailed, LaunchError) as exc:
        report.failed.append(Skipped(section, str(exc)))


def _measure_started(
    plan: BenchPlan, section: Section, folder: Path, report: BenchReport, on_progress: Progress
) -> None:
    if section == "two-engines" and (missing := redis_missing(plan.redis)):
        report.skipped.append(Skipped(section, missing))
        return
    options = _options(plan, folder, LARGE_KV if section == "promotion" else REFERENCE, on_progress)
    lengths = plan.lengths or _LENGTHS[section]
    if section == "slow-tier":
        run = measure_slow_tier(options, folder, lengths, plan.repeats, on_progress)
        report.figures += slow_tier_figures(run)
    elif section == "promotion":
        with own_pair(options, folder / "pair", on_progress) as target:
            target.check_lengths(lengths)
            report.figures += promotion_figures(measure_promotion(target, lengths, plan.repeats, on_progress))
    elif section == "blend":
        report.figures += moved_figures(measure_moved(options, folder, lengths, plan.repeats, on_progress))
    else:
        with shared_tier(plan.redis, folder) as adapter:
            crossings = measure_two_engines(options, adapter, folder, lengths, plan.repeats, on_progress)
            report.figures += two_engines_figures(crossings)


def _options(plan: BenchPlan, folder: Path, shape: ModelShape, on_progress: Progress) -> LaunchOptions:
    model = model_folder(plan.model) if plan.model else make_bench_model(folder, shape, on_progress)
    return LaunchOptions(model=model, l1_size_gb=2.0, cpu_kv_gb=2.0)
