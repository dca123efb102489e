"""`kvasir bench`: every benchmark prints one form (see `report.py`) and exits 0 when it could measure, else 3."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from rich.console import Console

from backend.errors import PlotFailed
from evals.bench.errors import BenchUnavailable, PlotUnavailable, ResultUnreadable
from evals.bench.learning.engine import SHIPPED, EngineChoice
from evals.bench.machine import bench_machine
from evals.bench.report import BenchReport, print_report
from evals.bench.row import Row

if TYPE_CHECKING:
    from backend.mini.answer_file import Decoding
    from evals.bench.kb.benchmark import Section as KbSection
    from evals.bench.learning.benchmark import Section as LearningSection
    from evals.bench.mini.benchmark import Section
    from evals.bench.prefix.benchmark import Section as PrefixSection

Command = TypeVar("Command", bound=Callable[..., Any])

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


def model_option(of_what: str) -> Callable[[Command], Command]:
    """The folder of the model that ships, or another one's."""
    default = Path("backend/mini/model")
    kind = click.Path(path_type=Path)
    return click.option("--model", type=kind, default=default, show_default=True, help=f"The folder of {of_what}.")


def progress(message: str) -> None:
    click.echo(message, err=True)


def show(title: str, measure: Callable[[], list[Row]], *, as_json: bool) -> None:
    """Measure and print; whatever was found, the exit code is 0. Without what it needs: 3, with the reason."""
    with exit_unavailable():
        report = BenchReport(title, tuple(measure()), bench_machine())
    print_out(report, as_json=as_json)


@contextmanager
def exit_unavailable() -> Iterator[None]:
    try:
        yield
    except BenchUnavailable as exc:
        click.echo(f"error: {exc}", err=True)
        sys.exit(UNAVAILABLE)


def print_out(report: BenchReport, *, as_json: bool) -> None:
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
@click.option("--every", type=click.IntRange(min=1), default=1, show_default=True, help="Each so many-th question.")
def weights(data: Path, as_json: bool, every: int) -> None:
    """Fit the weights of retrieval on Spider's training databases, which no benchmark asks about."""
    # Imported here, since the embedding libraries take seconds.
    from evals.bench.kb.table_weights import fitted_weights
    from kb.embedding import SentenceEmbedder

    show("weights", lambda: fitted_weights(data, SentenceEmbedder(), progress, every), as_json=as_json)


@group.command()
@data_option
@json_option
@model_option("the model to measure")
@click.option("--cases", type=click.IntRange(min=1), default=500, show_default=True, help="Questions an ability.")
@click.option(
    "--only",
    multiple=True,
    type=click.Choice(("abilities", "third-party", "curve", "speed")),
    help="Only this section; may be given again.",
)
@click.option(
    "--decoding",
    multiple=True,
    type=click.Choice(("greedy", "constrained")),
    default=("greedy",),
    show_default=True,
    help="How answers are drawn: freely, or within the SQL grammar. May be given again.",
)
@click.option("--device", default="cpu", show_default=True, help="Where answers are made: cpu or cuda.")
@click.option("--batch", type=click.IntRange(min=1), default=16, show_default=True, help="Prompts answered at a time.")
@click.option("--limit", type=click.IntRange(min=1), help="Only the first so many questions of each set.")
@click.option(
    "--answers",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Answers of an earlier run, JSON lines; what is not in it is added.",
)
@click.option(
    "--prompts",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the prompts that have no answer yet here (gzip if it ends in .gz) and stop.",
)
def mini(
    data: Path,
    as_json: bool,
    model: Path,
    cases: int,
    only: tuple[Section, ...],
    decoding: tuple[Decoding, ...],
    device: str,
    batch: int,
    limit: int | None,
    answers: Path | None,
    prompts: Path | None,
) -> None:
    """What the reference model does: its abilities, questions that nobody here wrote, learning curves, speed."""
    from evals.bench.mini.benchmark import SECTIONS, MiniBenchmark, Plan
    from kb.embedding import SentenceEmbedder

    plan = Plan(model, data, only or SECTIONS, cases, decoding, device, batch, answers, limit)
    benchmark = MiniBenchmark(plan, SentenceEmbedder(), progress)
    with exit_unavailable():
        if prompts is not None:
            click.echo(f"{prompts}: {benchmark.write_prompts(prompts)} prompts")
            return
        measured = benchmark.measure()
    report = BenchReport("mini", tuple(measured.rows), {**bench_machine(), **measured.facts})
    print_out(report, as_json=as_json)


@group.command()
@data_option
@json_option
@click.option(
    "--only",
    multiple=True,
    type=click.Choice(("versions", "retrieval", "tables", "patterns", "glossary", "gotchas")),
    help="Only this section; may be given again.",
)
@click.option("--items", type=click.IntRange(min=1000), default=100_000, show_default=True, help="In the large base.")
@click.option("--commits", type=click.IntRange(min=20), default=1_000, show_default=True, help="Of one item each.")
@click.option("--limit", type=click.IntRange(min=1), help="Only the first so many questions of each set.")
def kb(data: Path, as_json: bool, only: tuple[KbSection, ...], items: int, commits: int, limit: int | None) -> None:
    """Version control and retrieval as a base grows, and what retrieval finds, beside BM25 and dense search alone."""
    from evals.bench.kb.benchmark import SECTIONS, Plan, kb_rows

    plan = Plan(only or SECTIONS, data, items, commits, limit)
    show("kb", lambda: kb_rows(plan, progress), as_json=as_json)


@group.command()
@data_option
@json_option
@click.option(
    "--only",
    multiple=True,
    type=click.Choice(("cost", "errors", "poison", "reviewer", "stream")),
    help="Only this section; may be given again.",
)
@click.option("--cases", type=click.IntRange(min=1), default=1_000, show_default=True, help="In the suite of 'cost'.")
@click.option("--changes", type=click.IntRange(min=1), default=50, show_default=True, help="Gated by that suite.")
@click.option(
    "--sampled-cases", type=click.IntRange(min=1), default=100, show_default=True, help="In that of 'errors'."
)
@click.option(
    "--harmless", type=click.IntRange(min=1), default=200, show_default=True, help="Changes of no consequence."
)
@click.option("--plants", type=click.IntRange(min=1), default=100, show_default=True, help="Wrong gotchas.")
@click.option("--poisoned", type=click.IntRange(min=1), help="Only the first so many questions of 'poison'.")
@click.option(
    "--confirmations", type=click.IntRange(min=4), default=1_000, show_default=True, help="In a stream of 'reviewer'."
)
@click.option("--seeds", type=click.IntRange(min=1), default=1, show_default=True, help="Streams of 'reviewer'.")
@click.option(
    "--set",
    "sets",
    multiple=True,
    type=click.Choice(("geography", "shop")),
    default=("geography", "shop"),
    show_default=True,
    help="Questions of 'stream'; may be given again.",
)
@click.option("--orders", type=click.IntRange(min=1), default=5, show_default=True, help="In which each set is asked.")
@click.option("--streamed", type=click.IntRange(min=1), help="Only the first so many questions of each set.")
@click.option(
    "--corrected",
    type=click.FloatRange(0, 1),
    default=0.5,
    show_default=True,
    help="How likely a wrong answer of a stream is corrected.",
)
@click.option(
    "--gate/--no-gate",
    default=True,
    show_default=True,
    help="Whether a lesson of a stream is replayed on what is confirmed before it lands.",
)
@click.option(
    "--verified/--not-verified",
    default=False,
    show_default=True,
    help="Whether a stream's assistant gives confirmed answers without the engine, also about other values.",
)
@click.option(
    "--engine",
    default=SHIPPED,
    show_default=True,
    help="What answers: a LiteLLM model string, as in kvasir.toml.",
)
@click.option("--api-base", help="Where its server listens, such as http://127.0.0.1:8100/v1.")
@click.option("--jobs", type=click.IntRange(min=1), default=1, show_default=True, help="Processes that share the work.")
@click.option(
    "--keep",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Keep in this file what is done, and go on from it.",
)
def learning(
    data: Path, as_json: bool, only: tuple[LearningSection, ...], engine: str, api_base: str | None, **sizes: Any
) -> None:
    """What the gate costs and lets through, what careless people teach, what learning gains."""
    from evals.bench.learning.benchmark import SECTIONS, Plan, measured
    from kb.embedding import SentenceEmbedder

    plan = Plan(only or SECTIONS, data, engine=EngineChoice(engine, api_base), **sizes)
    with exit_unavailable():
        found = measured(plan, SentenceEmbedder(), progress)
    print_out(BenchReport("learning", tuple(found.rows), {**bench_machine(), **found.facts}), as_json=as_json)


@group.command()
@data_option
@json_option
@model_option("the model whose tokens are counted, and which the pair serves")
@click.option(
    "--only",
    multiple=True,
    type=click.Choice(("tokens", "routing", "engine", "accuracy")),
    help="Only this section; may be given again.",
)
@click.option("--requests", type=click.IntRange(min=1), help="Only so many requests of each stream or set.")
@click.option(
    "--set",
    "sets",
    multiple=True,
    type=click.Choice(("made-up", "geography", "spider")),
    default=("made-up", "geography", "spider"),
    show_default=True,
    help="Questions of 'accuracy'; may be given again.",
)
@click.option(
    "--engine",
    default=SHIPPED,
    show_default=True,
    help="What answers in 'accuracy': a LiteLLM model string, as in kvasir.toml.",
)
@click.option("--api-base", help="Where its server listens, such as http://127.0.0.1:8100/v1.")
@click.option(
    "--keep",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Keep the answers of 'accuracy' in this file, and go on from it.",
)
def prefix(
    data: Path,
    as_json: bool,
    model: Path,
    only: tuple[PrefixSection, ...],
    engine: str,
    api_base: str | None,
    **chosen: Any,
) -> None:
    """How much of the prompts' KV cache is reused, beside other orders of the same items; 'engine' starts the pair."""
    from evals.bench.prefix.benchmark import SECTIONS, Plan, prefix_rows
    from kb.embedding import SentenceEmbedder

    plan = Plan(only or SECTIONS, data, model, answering=EngineChoice(engine, api_base), **chosen)
    show("prefix", lambda: prefix_rows(plan, SentenceEmbedder(), progress), as_json=as_json)


@group.command()
@json_option
@click.option("--only", multiple=True, help="Only the architecture of this name; may be given again.")
@click.option("--kv-gib", type=click.IntRange(min=1), default=1, show_default=True, help="Memory for KV.")
@click.option(
    "--window-tokens", type=click.IntRange(min=512), default=8192, show_default=True, help="Longest sequence."
)
def size(as_json: bool, only: tuple[str, ...], kv_gib: int, window_tokens: int) -> None:
    """Whether 'kvasir backend size' counts tokens as vLLM does: starts vLLM once for each small architecture."""
    from evals.bench.size.benchmark import Plan, architecture_names, size_rows

    if unknown := set(only) - set(architecture_names()):
        raise click.BadParameter(f"no architecture '{min(unknown)}'; there are {', '.join(architecture_names())}")
    show("size", lambda: size_rows(Plan(only, kv_gib, window_tokens), progress), as_json=as_json)


@group.command()
@json_option
@click.option(
    "--clients",
    multiple=True,
    type=click.IntRange(min=1),
    default=(1, 4, 16),
    show_default=True,
    help="How many ask at a time; may be given again.",
)
@click.option("--rounds", type=click.IntRange(min=2), default=8, show_default=True, help="In which all take turns.")
@click.option("--requests", type=click.IntRange(min=2), default=100, show_default=True, help="Of a block of a round.")
@click.option(
    "--proxy-python",
    type=click.Path(path_type=Path),
    default=Path(".venv-proxy/bin/python"),
    show_default=True,
    help="The Python that has litellm[proxy]; make proxy-env makes it.",
)
def gateway(as_json: bool, clients: tuple[int, ...], rounds: int, requests: int, proxy_python: Path) -> None:
    """What the gateway adds to a request, beside the LiteLLM proxy, in front of an engine that takes 20 ms."""
    from evals.bench.gateway.benchmark import Plan, measured
    from kb.embedding import SentenceEmbedder

    with exit_unavailable():
        found = measured(Plan(clients, rounds, requests, proxy_python), SentenceEmbedder(), progress)
    print_out(BenchReport("gateway", tuple(found.rows), {**bench_machine(), **found.facts}), as_json=as_json)


@group.command()
@click.argument("result", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("plot", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print what was drawn as JSON.")
def curve(result: Path, plot: Path, as_json: bool) -> None:
    """Draw the learning curves of RESULT, which `kvasir bench mini --json` printed, into the SVG file PLOT."""
    from evals.bench.mini.curve import curves_of, draw

    with exit_unavailable():
        try:
            curves = curves_of(json.loads(result.read_text(encoding="utf-8"))["rows"])
        except (ValueError, KeyError, TypeError) as exc:
            raise ResultUnreadable(result, f"not a result of kvasir bench mini --json ({exc!r})") from exc
        if not curves:
            raise ResultUnreadable(result, "it has no rows of a learning curve")
        try:
            draw(curves, plot)
        except PlotFailed as exc:
            raise PlotUnavailable(str(exc)) from exc
    click.echo(json.dumps({"plot": str(plot), "curves": len(curves)}) if as_json else f"{plot}: {len(curves)} curves")
