"""`kvasir backend size`: what a model takes of memory, and what of it fits. Prints what one function returns."""

from __future__ import annotations

import json
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from backend.cli_failure import errors_shown
from backend.cli_options import json_option
from backend.sizing.config_source import known_models
from backend.sizing.dtypes import BYTES, WEIGHT_BYTES
from backend.sizing.gpus import GIB, gpus
from backend.sizing.report import CONTEXTS, SizeOptions, SizeReport, size_model

_WIDTH_IN_A_PIPE = 160  # what the widest table needs; rich takes 80 where there is no terminal, and would cut figures
_DEFAULTS = {field.name: field.default for field in fields(SizeOptions)}


def _contexts(_: object, __: object, value: str | None) -> tuple[int, ...]:
    if value is None:
        return CONTEXTS
    try:
        return tuple(sorted({int(part) for part in value.split(",") if part.strip()}))
    except ValueError as exc:
        raise click.BadParameter(f"got '{value}'; give lengths in tokens, such as 2048,8192") from exc


@click.command("size", short_help="What a model takes of memory, and what fits.")
@click.argument("model", required=False)
@click.option("--gpu", "gpu_names", multiple=True, help="Size for this GPU of the list; may be given again.")
@click.option("--memory", "memory_gib", type=float, help="Size for a GPU of this many GiB.")
@click.option("--kv-gib", type=float, help="Memory for KV on each GPU, as vLLM's log has it, in place of what is left.")
@click.option("--dtype", type=click.Choice(list(WEIGHT_BYTES)), help="Type of the weights. Default: the config's.")
@click.option("--kv-dtype", type=click.Choice(list(BYTES)), help="Type of keys and values. Default: the model's.")
@click.option("--tp", type=int, default=1, show_default=True, help="GPUs that the model is split over.")
@click.option("--device", type=click.Choice(["cuda", "cpu"]), default="cuda", help="Whose blocks to count in.")
@click.option("--context", "context_tokens", callback=_contexts, help="Lengths in tokens, such as 2048,8192.")
@click.option("--window-tokens", type=int, help="vLLM's --max-model-len. Default: the model's.")
@click.option("--block-tokens", type=int, help="vLLM's --block-size. Default: vLLM's.")
@click.option("--batched-tokens", type=int, help="vLLM's --max-num-batched-tokens. Default: vLLM's for the GPU.")
@click.option(
    "--gpu-memory-share",
    "memory_share",
    type=float,
    default=_DEFAULTS["memory_share"],
    show_default=True,
    help="vLLM's share of the GPU's memory.",
)
@click.option(
    "--reserve-gib",
    type=float,
    default=_DEFAULTS["reserve_gib"],
    show_default=True,
    help="Kept of that share for neither weights nor KV: CUDA's context, activations.",
)
@click.option("--plot", type=click.Path(dir_okay=False, path_type=Path), help="Draw memory by context into this SVG.")
@click.option("--list", "listed", is_flag=True, help="Show the known models and GPUs.")
@json_option
def size_command(model: str | None, device: str, plot: Path | None, listed: bool, as_json: bool, **given: Any) -> None:
    """Size MODEL: a config.json, a model's folder, or a known name such as Qwen/Qwen2.5-32B.

    Weights, KV bytes per token, memory by context length, sequences that fit each GPU, and the most tokens a second
    that decoding can reach. Nothing is started or downloaded.
    """
    if listed:
        _show_lists(as_json=as_json)
        return
    if model is None:
        raise click.UsageError("Missing argument 'MODEL'; --list shows the known names.")
    _silence_transformers()
    with errors_shown():
        report = size_model(SizeOptions(model=model, cpu=device == "cpu", **given))
        if plot is not None:
            _draw(report, plot)
    if as_json:
        click.echo(json.dumps(report.to_dict(), indent=2, ensure_ascii=False))
        return
    # Imported here, since drawing tables is of no use to --json.
    from backend.sizing.table import print_size

    print_size(report, Console(width=None if sys.stdout.isatty() else _WIDTH_IN_A_PIPE))


def _silence_transformers() -> None:
    """It warns of what sizes do not depend on, such as ids of special tokens."""
    from transformers.utils import logging

    logging.set_verbosity_error()


def _draw(report: SizeReport, plot: Path) -> None:
    from backend.sizing.plot import draw_size

    draw_size(report, plot)
    click.echo(f"drawn into {plot}", err=True)


def _show_lists(*, as_json: bool) -> None:
    if as_json:
        models = [{"name": known.name, "aliases": list(known.aliases)} for known in known_models()]
        click.echo(json.dumps({"models": models, "gpus": [gpu.name for gpu in gpus()]}, indent=2))
        return
    names = Table(title="known models", title_justify="left")
    names.add_column("name", no_wrap=True)
    names.add_column("same shape", overflow="fold")
    for known in known_models():
        names.add_row(known.name, ", ".join(known.aliases))
    listed = Table(title="GPUs", title_justify="left")
    for heading in ("name", "GiB", "GB/s", "TFLOPS 16-bit", "TFLOPS fp8"):
        listed.add_column(heading, justify="left" if heading == "name" else "right")
    for gpu in gpus():
        rates = [gpu.bandwidth_bytes_per_second, gpu.flops_16bit, gpu.flops_8bit]
        shown = [f"{rate / unit:,.0f}" if rate else "–" for rate, unit in zip(rates, (1e9, 1e12, 1e12), strict=True)]
        listed.add_row(gpu.name, f"{gpu.memory_bytes / GIB:.0f}", *shown)
    console = Console()
    console.print(names)
    console.print(listed)
