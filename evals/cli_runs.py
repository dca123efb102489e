"""`kvasir eval list`, `show` and `bless`: the runs that are kept, and which of them is a suite's baseline."""

from __future__ import annotations

import click

from evals.baselines import Baseline, Baselines
from evals.cli_options import Options, Outputs, common, reporting
from evals.kept_runs import KeptRuns, RunEntry
from evals.summary import compared_line
from gateway.user_name import user_name


@click.command("list")
@click.option("--suite", help="Runs of the suite of this name alone.")
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="How many at most.")
@common
def list_(options: Options, suite: str | None, limit: int) -> None:
    """The runs that are kept, newest first."""
    with options.database() as database:
        entries = KeptRuns(database).list(options.tenant, suite=suite, limit=limit)
        blessed = {baseline.run_id: baseline for baseline in Baselines(database).all(options.tenant)}
    data = [_view(entry, blessed.get(entry.id)) for entry in entries]
    if not entries:
        of = f" of suite '{suite}'" if suite is not None else ""
        click.echo(f"no run{of} is kept; 'kvasir eval run' and 'kvasir eval gate' keep theirs", err=True)
    options.show(data, lambda: _print(entries, blessed))


@click.command()
@click.argument("run")
@common
@reporting
def show(options: Options, outputs: Outputs, run: str) -> None:
    """The report of RUN, an id or the first characters of one."""
    with options.database() as database:
        kept = KeptRuns(database).get(options.tenant, run)
        baselines = Baselines(database).all(options.tenant)
    blessed = next((b for b in baselines if b.run_id == kept.entry.id), None)
    if blessed is not None:
        click.echo(f"the baseline of {kept.entry.suite}, {blessed.told}", err=True)
    compared_with = next((b for b in baselines if b.run_id == kept.entry.baseline_run), None)
    outputs.show(options, kept, compared_with)


@click.command()
@click.argument("run")
@click.option("--force", is_flag=True, help="Also where cases failed or could not be judged.")
@common
def bless(options: Options, run: str, force: bool) -> None:
    """Make the commit of RUN the baseline of its suite: what 'gate' compares with where no --base is given."""
    # No model is loaded for it.
    with options.core(quiet=True) as core:
        entry = KeptRuns(core.database).get(options.tenant, run).entry
        # A commit that is not in the assistant's base, or was deleted, could be compared with nothing.
        core.assistant(options.tenant, entry.assistant).base.resolve(entry.commit)
        baseline = Baselines(core.database).bless(options.tenant, entry, user_name(), force=force)
    told = f"{baseline.commit_id[:12]} of {baseline.run_id} is the baseline of {baseline.suite}"
    options.show(baseline.to_dict(), lambda: click.echo(told))


def _view(entry: RunEntry, baseline: Baseline | None) -> dict[str, object]:
    return {**entry.to_dict(), "baseline": baseline.to_dict() if baseline is not None else None}


def _print(entries: list[RunEntry], blessed: dict[str, Baseline]) -> None:
    for entry in entries:
        counts = ", ".join(f"{count} {word}" for word, count in entry.counts.items())
        baseline = f"  baseline, {blessed[entry.id].told}" if entry.id in blessed else ""
        when = entry.created_at[:16].replace("T", " ")
        click.echo(
            f"{entry.id}  {when}  {entry.kind:<4}  {entry.verdict:<10}  {compared_line(entry)}  ({counts}){baseline}"
        )
