"""`kvasir backend simulate`: what a cache of given tiers would have served of a trace."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import click

from backend.cli_failure import errors_shown
from backend.cli_options import json_option
from backend.simulation.errors import SimulationOptionInvalid
from backend.simulation.simulate import POLICIES, Machine, check_policy
from backend.simulation.store_gate import MARGIN, GateName, StoreGate
from backend.simulation.tiers import TierSpec, parse_tier


@click.command("simulate")
@click.argument("trace_file", metavar="TRACE", type=click.Path(path_type=Path))
@click.option(
    "--tier",
    "tiers",
    multiple=True,
    default=("ram:10000",),
    show_default=True,
    help="NAME:BLOCKS or NAME:SIZEGB, and :GB_PER_SECOND if you like (ram 20, disk 2); the fastest first.",
)
@click.option("--sweep", help="Sizes of the last tier in blocks, such as 1000,3000,10000: one simulation of each.")
@click.option(
    "--policy",
    "policies",
    multiple=True,
    default=POLICIES,
    show_default=True,
    help="May be repeated. kvasir:gaps+turn is kvasir with some of its ideas.",
)
@click.option(
    "--store-gate",
    type=click.Choice(["all", "recurrence", "worth"]),
    default="all",
    show_default=True,
    help="What may be written to the last tier: all; what was seen before; what is worth a write (kvasir only).",
)
@click.option(
    "--write-margin", type=float, default=MARGIN, show_default=True, help="Of the gate 'worth': how choosy it is."
)
@click.option("--block-tokens", type=click.IntRange(min=1), default=512, show_default=True, help="Tokens of a block.")
@click.option(
    "--kv-bytes-per-token", type=click.IntRange(min=1), default=131072, show_default=True, help="KV of a token."
)
@click.option(
    "--prefill-tokens-per-second",
    type=click.FloatRange(min=0, min_open=True),
    default=10000.0,
    show_default=True,
    help="How fast a prompt is computed.",
)
@click.option("--jobs", type=click.IntRange(min=1), help="Simulations at a time. Default: one for each core.")
@click.option(
    "--plot", type=click.Path(path_type=Path, dir_okay=False), help="Draw hit rates and savings into this file."
)
@json_option
def simulate_command(
    trace_file: Path,
    tiers: tuple[str, ...],
    sweep: str | None,
    policies: tuple[str, ...],
    store_gate: GateName,
    write_margin: float,
    block_tokens: int,
    kv_bytes_per_token: int,
    prefill_tokens_per_second: float,
    jobs: int | None,
    plot: Path | None,
    as_json: bool,
) -> None:
    """Replay TRACE, JSON lines of prefix hashes, through cache tiers under several policies."""
    # Imported here, so that the other commands start without numpy.
    from rich.console import Console

    from backend.chart import check_plot
    from backend.simulation.cases import Case, run_cases
    from backend.simulation.plot import draw
    from backend.simulation.report import print_table, to_data
    from backend.simulation.trace import read_trace

    with errors_shown():
        if plot:
            check_plot(plot)
        machine = Machine(prefill_tokens_per_second, kv_bytes_per_token * block_tokens)
        gate = StoreGate(store_gate, write_margin)
        for policy in policies:
            check_policy(policy, store_gate)
        cases = [
            Case(policy, sizes, machine, gate)
            for sizes in _sizes(tuple(parse_tier(tier, machine.block_bytes) for tier in tiers), sweep)
            for policy in policies
        ]
        trace = read_trace(trace_file, block_tokens, _progress)
        results = run_cases(trace, cases, jobs or len(os.sched_getaffinity(0)), _progress)
        if plot:
            draw(results, plot)
    if as_json:
        click.echo(json.dumps(to_data(trace, results), indent=2))
    else:
        print_table(trace, results, Console())


def _sizes(tiers: tuple[TierSpec, ...], sweep: str | None) -> list[tuple[TierSpec, ...]]:
    if sweep is None:
        return [tiers]
    try:
        sizes = [int(size) for size in sweep.split(",")]
    except ValueError as exc:
        raise SimulationOptionInvalid(
            "--sweep", f"'{sweep}' is no list of block counts; write 1000,3000,10000"
        ) from exc
    if min(sizes) < 1:
        raise SimulationOptionInvalid("--sweep", f"a tier of {min(sizes)} blocks holds nothing; sizes are at least 1")
    return [(*tiers[:-1], replace(tiers[-1], capacity_blocks=size)) for size in sizes]


def _progress(message: str) -> None:
    click.echo(message, err=True)
