"""`kvasir backend profile`."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import click

from backend.cli_failure import errors_shown, termination_as_exit
from backend.cli_options import home_option, json_option, parse_lengths
from backend.tiers.profile import Profile, profile_json

if TYPE_CHECKING:
    from backend.profiling.run import ProfileRun


@click.command("profile")
@click.option("--lengths", help="Tokens to measure at, such as 512,1024,4096. Default: doubling, up to the window.")
@click.option(
    "--repeats", type=click.IntRange(min=1), default=3, show_default=True, help="Measurements of each length."
)
@click.option("--plot", type=click.Path(path_type=Path, dir_okay=False), help="Write both curves, as .svg or .png.")
@home_option
@json_option
def profile_command(lengths: str | None, repeats: int, plot: Path | None, home: Path, as_json: bool) -> None:
    """Measure prefill and every tier of the running pair, and use the result in its gates.

    Needs 'up --allow-reset', minutes, and a pair that nobody else uses meanwhile.
    """
    # SciPy takes longer to import than the other commands of the group take to run.
    from backend.chart import check_plot
    from backend.profiling.plot import plot_profile
    from backend.profiling.run import profile_backend

    with errors_shown(), termination_as_exit():  # the gates, which are off meanwhile, are set back
        if plot is not None:
            check_plot(plot)
        run = profile_backend(
            home / "backend",
            lengths=parse_lengths(lengths),
            repeats=repeats,
            on_progress=_progress,
        )
        if plot is not None:
            plot_profile(run.profile, plot)
    click.echo(json.dumps(_data(run), indent=2) if as_json else _text(run))


def _progress(message: str) -> None:
    click.echo(message, err=True)


def _data(run: ProfileRun) -> dict[str, Any]:
    changes = [{**asdict(change), "ratio": change.ratio} for change in run.changes]
    return {"path": str(run.path), "profile": profile_json(run.profile), "changes": changes}


def _text(run: ProfileRun) -> str:
    profile = run.profile
    lines = [_table(profile), ""]
    for name, tier in profile.tiers.items():
        meets = profile.break_even_tokens(name)
        worth = (
            "recomputing is always cheaper" if meets is None else f"cheaper than recomputing from {meets:.0f} tokens"
        )
        raw = tier.raw_read_bytes_per_second
        lines.append(f"{name}: {worth}" + (f"; the medium reads {raw / 1e9:.2f} GB/s" if raw else ""))
    rate = profile.tokenizer_tokens_per_second
    lines.append(f"{profile.kv_bytes_per_token} bytes of KV a token; tokenizer {rate:,.0f} tokens/s")
    if run.changes:
        ratios = sorted(change.ratio for change in run.changes)
        worst = max(run.changes, key=lambda change: max(change.ratio, 1 / change.ratio))
        lines.append(
            f"against the former profile: median {median(ratios):.2f} times its seconds, from {ratios[0]:.2f} to "
            f"{ratios[-1]:.2f}; most at {worst.curve}, {worst.tokens} tokens"
        )
    return "\n".join([*lines, f"written to {run.path}"])


def _table(profile: Profile) -> str:
    columns = {"recompute": profile.prefill_samples, "GPU": profile.gpu_hit_samples}
    columns |= {name: tier.load_samples for name, tier in profile.tiers.items()}
    rows = ["first token in ms, median".ljust(27) + "".join(f"{name:>11}" for name in columns)]
    for tokens in (sample.tokens for sample in profile.prefill_samples):
        cells = ""
        for curve in columns.values():
            seconds = next((median(sample.seconds) for sample in curve if sample.tokens == tokens), None)
            cells += "–".rjust(11) if seconds is None else f"{1000 * seconds:11.0f}"
        rows.append(f"{tokens} tokens".ljust(27) + cells)
    return "\n".join(rows)
