"""`kvasir eval`: run a suite, and compare two commits. Exit codes are `evals.gate.ExitCode`, for pipelines."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from evals.baselines import Baseline, Baselines
from evals.cli_flaky import flaky
from evals.cli_import import import_command
from evals.cli_options import Options, Outputs, common, interruptible, reporting
from evals.cli_runs import bless, list_, show
from evals.gate import gate, gate_exit_code, run_exit_code
from evals.kept_runs import KeptRuns
from evals.progress import progress
from evals.run import run_suite
from evals.sides import open_sides
from evals.suite import load_suite
from gateway.prefix_cost import RECENT_REQUESTS

GOES_ON = "what engines answered is stored: run it again, and it goes on where it stood"


@click.group("eval")
def group() -> None:
    """Run regression suites, and compare two commits."""


for _command in (list_, show, bless, flaky, import_command):
    group.add_command(_command)


@group.command("run")
@click.argument("suite", type=click.Path(path_type=Path))
@click.option("--at", "revision", help="Commit, branch or tag [the assistant's].")
@click.option("--quiet", is_flag=True, help="Tell no progress.")
@common
@reporting
def run(options: Options, outputs: Outputs, suite: Path, revision: str | None, quiet: bool) -> None:
    """Ask every case of SUITE. Exits 0 if all passed, 1 if one failed, 3 if none failed but some were undecided.

    Cases that are held out are left to the gate.
    """
    loaded = load_suite(suite)
    with interruptible(GOES_ON), options.core(quiet=quiet) as core:
        with progress(len(loaded.open_cases), quiet=quiet) as on_case:
            report = run_suite(core, loaded, tenant=options.tenant, revision=revision, on_case=on_case)
        kept = KeptRuns(core.database).keep(options.tenant, loaded, report)
    _tell(f"kept as {kept.entry.id}", quiet)
    outputs.show(options, kept, None)
    sys.exit(run_exit_code(report))


@group.command("gate")
@click.argument("suite", type=click.Path(path_type=Path))
@click.option(
    "--base",
    help="Before the change: commit, branch, tag, knowledge folder or Git revision [the suite's baseline].",
)
@click.option("--head", required=True, help="With the change: the same.")
@click.option(
    "--knowledge",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="The folder whose Git revisions are meant [the one that is given, else the suite's].",
)
@click.option(
    "--requests",
    type=click.IntRange(min=0),
    default=RECENT_REQUESTS,
    show_default=True,
    help="Over how many of the last requests the cost to the cache is told.",
)
@click.option("--quiet", is_flag=True, help="Tell no progress.")
@common
@reporting
def gate_command(
    options: Options,
    outputs: Outputs,
    suite: Path,
    base: str | None,
    head: str,
    knowledge: Path | None,
    requests: int,
    quiet: bool,
) -> None:
    """Compare SUITE at two commits or folders. Exits 0 if clean, 1 on a regression, 3 if it cannot be judged."""
    loaded = load_suite(suite)
    baseline: Baseline | None = None
    with interruptible(GOES_ON), options.core(quiet=quiet) as core:
        if base is None:
            baseline = Baselines(core.database).of(options.tenant, loaded.name, loaded.assistant)
            base = baseline.commit_id
            _tell(f"compared with the baseline: {base[:12]} of {baseline.run_id}, {baseline.told}", quiet)
        sides = open_sides(
            core,
            loaded.assistant,
            tenant=options.tenant,
            base=base,
            head=head,
            knowledge=knowledge,
            suite_folder=suite.parent,
        )
        for line in sides.told:
            _tell(line, quiet)
        with progress(len(loaded.cases), quiet=quiet) as on_case:
            report = gate(
                sides.core,
                loaded,
                tenant=options.tenant,
                base=sides.base,
                head=sides.head,
                recent_requests=requests,
                on_case=on_case,
            )
        run_id = baseline.run_id if baseline is not None else None
        kept = KeptRuns(core.database).keep(options.tenant, loaded, report, baseline_run=run_id)
    _tell(f"kept as {kept.entry.id}", quiet)
    outputs.show(options, kept, baseline)
    sys.exit(gate_exit_code(report))


def _tell(line: str, quiet: bool) -> None:
    if not quiet:
        click.echo(line, err=True)
