"""`kvasir eval flaky`: measure which cases waver, and print what justifies their place on the flaky list."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from evals.cli_options import Options, common, interruptible
from evals.flaky import FlakyReport, measure_flaky
from evals.gate import ExitCode
from evals.progress import progress
from evals.suite import load_suite
from gateway.counted import counted

STARTS_AGAIN = "the draws of a measurement are not stored: run it again, and it starts anew"


@click.command()
@click.argument("suite", type=click.Path(path_type=Path))
@click.option("--repeats", type=click.IntRange(2, 100), default=10, show_default=True, help="Draws of each case.")
@click.option("--quiet", is_flag=True, help="Tell no progress.")
@common
def flaky(options: Options, suite: Path, repeats: int, quiet: bool) -> None:
    """Ask every case of SUITE anew, and print those that waver as YAML for the suite.

    Exits 3 if some were undecided. Cases that are held out are not asked.
    """
    loaded = load_suite(suite)
    told = progress(len(loaded.open_cases), quiet=quiet)
    with interruptible(STARTS_AGAIN), options.core(quiet=quiet) as core, told as on_case:
        report = measure_flaky(core, loaded, tenant=options.tenant, repeats=repeats, on_case=on_case)
    options.show(report.to_dict(), lambda: _print(report))
    sys.exit(ExitCode.UNDECIDED if report.undecided else ExitCode.CLEAN)


def _print(report: FlakyReport) -> None:
    if report.wavering:
        click.echo(report.yaml_lines(), nl=False)
    click.echo(
        f"{len(report.wavering)} of {len(report.cases)} cases waver over {report.repeats} draws at "
        f"{report.commit[:12]}; {len(report.undecided)} undecided; {counted(report.engine_calls, 'engine call')}",
        err=True,
    )
