"""Progress of a run on stderr: a live line on a terminal, a line per case in a pipe, nothing where it is not wanted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from evals.report import case_line, case_word
from evals.run import CaseRun
from gateway.replay import CaseReplay

OnDone = Callable[[CaseRun | CaseReplay], None]


@contextmanager
def progress(total: int, *, quiet: bool = False, console: Console | None = None) -> Iterator[OnDone]:
    """What to tell of each case when it is done."""
    console = console or Console(stderr=True)
    if quiet:
        yield _nothing
    elif console.is_terminal:
        with _live(total, console) as on_done:
            yield on_done
    else:
        yield _lines(total)


@contextmanager
def _live(total: int, console: Console) -> Iterator[OnDone]:
    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[counts]}"),
        TimeRemainingColumn(),
        TextColumn("left"),
    )
    counts: Counter[str] = Counter()
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=total, counts="")

        def on_done(case: CaseRun | CaseReplay) -> None:
            counts[case_word(case)] += 1
            told = ", ".join(f"{count} {word}" for word, count in counts.items())
            bar.update(task, advance=1, counts=told)

        yield on_done


def _lines(total: int) -> OnDone:
    done = 0

    def on_done(case: CaseRun | CaseReplay) -> None:
        nonlocal done
        done += 1
        click.echo(f"[{done}/{total}] {case_line(case)}", err=True)

    return on_done


def _nothing(_case: CaseRun | CaseReplay) -> None:
    pass
