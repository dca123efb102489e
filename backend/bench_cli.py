"""`kvasir backend bench`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from backend.cli_failure import errors_shown, termination_as_exit
from backend.cli_options import home_option, json_option, parse_lengths

if TYPE_CHECKING:
    from backend.benching.run import Section

_SECTIONS = ("tiers", "gate", "workloads", "slow-tier", "promotion", "two-engines", "blend")


@click.command("bench")
@click.option(
    "--only",
    "sections",
    multiple=True,
    type=click.Choice(_SECTIONS),
    default=("tiers", "gate", "workloads"),
    show_default=True,
    help="Only this section; may be given again. The last four start pairs of their own.",
)
@click.option("--api-base", help="Measure the vLLM at this address, such as http://host:8100/v1.")
@click.option("--own", is_flag=True, help="Start a pair to measure, and stop it afterwards.")
@click.option(
    "--model",
    type=click.Path(path_type=Path),
    help="Model folder for pairs that the bench starts. Default: random weights, 41M parameters.",
)
@click.option("--lengths", help="Tokens of the prompts, such as 1024,4096,8192: multiples of the chunk.")
@click.option("--repeats", type=click.IntRange(min=1), default=5, show_default=True, help="Of each measurement.")
@click.option("--restart", is_flag=True, help="Allow to stop the running pair's engine and start it again.")
@click.option("--redis", help="host:port of the shared tier of a pair that is started. Default: starts redis-server.")
@click.option(
    "--plot", type=click.Path(path_type=Path, dir_okay=False), help="Draw the tiers and the gate, as .svg or .png."
)
@home_option
@json_option
def bench_command(
    sections: tuple[Section, ...],
    api_base: str | None,
    own: bool,
    model: Path | None,
    lengths: str | None,
    repeats: int,
    restart: bool,
    redis: str | None,
    plot: Path | None,
    home: Path,
    as_json: bool,
) -> None:
    """Measure seconds to the first token: cold, from every tier, through the load gate, under four kinds of traffic.

    By default of the running pair, which 'up --allow-reset' started. Takes minutes, and nothing else should use the
    pair meanwhile.
    """
    if own and api_base:
        raise click.UsageError("--own starts a pair and --api-base names one; give one of them")
    if plot is not None and not {"tiers", "gate"} & set(sections):
        raise click.UsageError("--plot draws the sections tiers and gate; add --only tiers or --only gate")
    # SciPy takes longer to import than the other commands of the group take to run.
    from backend.benching.plot import plot_bench
    from backend.benching.report import report_text
    from backend.benching.run import BenchPlan, run_bench
    from backend.chart import check_plot

    chosen = parse_lengths(lengths)
    plan = BenchPlan(home, sections, chosen, repeats, api_base, own, restart, model, redis)
    with errors_shown(), termination_as_exit():
        if plot is not None:
            check_plot(plot)
        report = run_bench(plan, _progress)
        if plot is not None and (report.samples or report.gate_samples):  # without, the report says why
            plot_bench(report.samples, report.gate_samples, plot)
    click.echo(json.dumps(report.to_dict(), indent=2, ensure_ascii=False) if as_json else report_text(report))
    if report.failed:
        sys.exit(1)


def _progress(message: str) -> None:
    click.echo(message, err=True)
