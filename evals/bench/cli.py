"""`kvasir bench`: every benchmark prints one form (see `report.py`) and exits 0 when it could measure, else 3."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import click
from rich.console import Console

from evals.bench.errors import BenchUnavailable
from evals.bench.machine import machine_facts
from evals.bench.report import BenchReport, print_report
from evals.bench.row import Row

UNAVAILABLE = 3

data_option = click.option(
    "--data",
    type=click.Path(path_type=Path),
    envvar="KVASIR_DATA",
    default=Path("../shared/data"),
    show_default=True,
    help="The folder of the benchmark data; KVASIR_DATA sets it, too.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")


def progress(message: str) -> None:
    click.echo(message, err=True)


def show(title: str, measure: Callable[[], list[Row]], *, as_json: bool) -> None:
    """Measure and print; whatever was found, the exit code is 0. Without what it needs: 3, with the reason."""
    try:
        report = BenchReport(title, tuple(measure()), machine_facts())
    except BenchUnavailable as exc:
        click.echo(f"error: {exc}", err=True)
        sys.exit(UNAVAILABLE)
    if as_json:
        click.echo(json.dumps(report.to_dict(), indent=2, ensure_ascii=False))
    else:
        print_report(report, Console())


@click.group(name="bench")
def group() -> None:
    """Measure, each figure with its baseline and interval."""


@group.command()
@data_option
@json_option
@click.option("--limit", type=click.IntRange(min=1), help="Only the first so many questions of each set.")
def retrieval(data: Path, as_json: bool, limit: int | None) -> None:
    """Recall of the tables that Spider's questions need, beside BM25 and dense search alone."""
    # Imported here, since the embedding libraries take seconds.
    from evals.bench.retrieval import retrieval_rows
    from kb.embedding import SentenceEmbedder

    show("retrieval", lambda: retrieval_rows(data, SentenceEmbedder(), progress, limit), as_json=as_json)


@group.command()
@data_option
@json_option
@click.option("--every", type=click.IntRange(min=1), default=2, show_default=True, help="Each so many-th question.")
@click.option("--best", type=click.IntRange(min=1), default=10, show_default=True, help="How many choices to print.")
def weights(data: Path, as_json: bool, every: int, best: int) -> None:
    """Search the weights of retrieval on Spider's training databases, which no benchmark asks about."""
    from evals.bench.weights import search_weights
    from kb.embedding import SentenceEmbedder

    def measure() -> list[Row]:
        return [trial.to_row() for trial in search_weights(data, SentenceEmbedder(), progress, every)[:best]]

    show("weights", measure, as_json=as_json)
