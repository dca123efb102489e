"""`kvasir backend`: start, show and stop vLLM with LMCache. Its other commands have files of their own.

Each command prints what one function of the launcher returns.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import click

from backend.bench_cli import bench_command
from backend.cli_failure import errors_shown, termination_as_exit
from backend.cli_options import home_option, json_option
from backend.doctor.cli import doctor_command
from backend.errors import LaunchOptionInvalid
from backend.launch_state import read_state
from backend.launcher import BackendStatus, PartStatus, down, status, up
from backend.plan import ENGINE_TYPES, TIER_NAMES, LaunchOptions, LaunchPlan, PartName, make_plan
from backend.profile_cli import profile_command
from backend.simulation.cli import simulate_command
from backend.sizing.cli import size_command
from backend.tiers.use_case import USE_CASES
from backend.trtllm import TrtllmPlan, plan_trtllm
from backend.use_case_plan import with_last_tiers, with_use_case

_DEFAULTS = {field.name: field.default for field in fields(LaunchOptions)}


def _tier_names(_: click.Context, parameter: click.Parameter, value: str | None) -> tuple[str, ...] | None:
    if value is None:
        return None
    given = tuple(name.strip() for name in value.split(","))
    for name in given:
        if name not in TIER_NAMES:
            raise click.BadParameter(f"{name!r} is none of {', '.join(TIER_NAMES)}", param=parameter)
    return given


@click.group("backend", short_help="Start, show and stop vLLM with LMCache; measure and diagnose them; size; simulate.")
def group() -> None:
    """Start, show and stop vLLM with LMCache; measure and diagnose them; size; simulate."""


group.add_command(size_command)
group.add_command(simulate_command)


@group.command("up")
@click.option(
    "--model",
    type=click.Path(path_type=Path),
    help="Model folder, or kvasir-mini for the one that ships. By default everything as at the last start.",
)
@click.option(
    "--use-case",
    type=click.Choice(USE_CASES),
    help="Tiers and sizes for this kind of traffic, and its rules for prompts of which nothing else is said.",
)
@click.option(
    "--tiers",
    callback=_tier_names,
    help="Tiers that exist: ram, and disk and shared as wanted. Default: ram,disk, and shared with --shared-tier.",
)
@click.option(
    "--engine",
    type=click.Choice(["vllm", "trtllm"]),
    default="vllm",
    show_default=True,
    help="trtllm only prints what to start, with --dry-run.",
)
@click.option("--served-name", help="Name that requests use. Default: the folder's name.")
@click.option("--device", type=click.Choice(["cpu", "cuda"]), help="Default: cuda where there is a GPU.")
@click.option("--engine-port", type=int, help=f"Port of vLLM. Default: {_DEFAULTS['engine_port']}.")
@click.option("--cache-port", type=int, help=f"Port between vLLM and LMCache. Default: {_DEFAULTS['cache_port']}.")
@click.option("--cache-http-port", type=int, help=f"LMCache's HTTP port. Default: {_DEFAULTS['cache_http_port']}.")
@click.option("--window-tokens", type=int, help="Longest prompt and answer. Default: the model's, up to 16384.")
@click.option("--dtype", help="vLLM's --dtype. Default: bfloat16 on a CPU, auto on a GPU.")
@click.option(
    "--l1-size-gb", type=float, help=f"GiB of RAM for LMCache, taken at once. Default: {_DEFAULTS['l1_size_gb']:g}."
)
@click.option("--chunk-tokens", type=int, help=f"LMCache's chunk. Default: {_DEFAULTS['chunk_tokens']}.")
@click.option(
    "--cpu-kv-gb", type=float, help=f"GiB of RAM for vLLM's KV cache on a CPU. Default: {_DEFAULTS['cpu_kv_gb']:g}."
)
@click.option(
    "--gpu-memory-share", type=float, help=f"vLLM's share of the GPU. Default: {_DEFAULTS['gpu_memory_share']}."
)
@click.option("--gpu", help="GPU to plan for, by a name of 'size --list'. Default: this machine's.")
@click.option(
    "--kv-dir", type=click.Path(path_type=Path, file_okay=False), help="LMCache's disk tier. Default: HOME/backend/kv."
)
@click.option(
    "--policy/--plain-cache",
    default=None,
    help="Start LMCache with Kvasir's load and store gates (the default), or as it comes.",
)
@click.option("--disk-gb", type=float, help=f"Most that the disk tier may hold. Default: {_DEFAULTS['disk_gb']:g}.")
@click.option("--disk-writes-gb-per-day", type=float, help="Most that is written to it in 24 hours. Default: no bound.")
@click.option("--disk-adapter", help="LMCache's adapter of the disk tier, as JSON. Default: its type fs in --kv-dir.")
@click.option("--shared-tier", help="LMCache's adapter of a network tier, as JSON. Default: none.")
@click.option(
    "--allow-reset/--no-reset",
    default=None,
    help="Let clients empty vLLM's own prefix cache, as 'profile' needs. Opens vLLM's development endpoints.",
)
@click.option(
    "--restart/--no-restart",
    default=None,
    help="Leave a supervisor that starts a dead part again (the default), or none.",
)
@click.option(
    "--engine-type",
    type=click.Choice(ENGINE_TYPES),
    help="LMCache's: 'blend' also reuses KV of a text that stands elsewhere in a prompt, which changes answers.",
)
@click.option("--ready-seconds", type=float, help=f"Patience for each part. Default: {_DEFAULTS['ready_seconds']:g}.")
@click.option("--engine-arg", "engine_args", multiple=True, help="Passed on to vLLM as it is; may be repeated.")
@click.option("--only", type=click.Choice(["engine", "cache"]), help="Start this part alone.")
@click.option("--dry-run", is_flag=True, help="Print the exact commands and start nothing.")
@home_option
@json_option
def up_command(home: Path, engine: str, only: PartName | None, dry_run: bool, as_json: bool, **given: Any) -> None:
    """Start LMCache and vLLM, and wait until they answer."""
    with errors_shown(), termination_as_exit():
        options = _options(home / "backend", only, given)
        if engine == "trtllm":
            _print_trtllm(plan_trtllm(options, home, dry_run=dry_run), as_json)
            return
        plan = make_plan(options, home, dry_run=dry_run)
        if dry_run:
            if plan.problem:
                _progress(f"note: this cannot be started yet: {plan.problem}")
            click.echo(_plan_json(plan) if as_json else _plan_text(plan))
            return
        result = up(plan, home / "backend", _progress, only=only)
    if as_json:
        click.echo(_json({**_status_data(result), "config": plan.config_lines()}))
        return
    _print_status(result)
    click.echo(f"\nFor kvasir.toml:\n\n{plan.config_lines()}", nl=False)


@group.command("status")
@home_option
@json_option
def status_command(home: Path, as_json: bool) -> None:
    """Show the parts. Exit code 0 when all are healthy, else 1."""
    with errors_shown():
        result = status(home / "backend")
    if as_json:
        click.echo(_json(_status_data(result)))
    else:
        _print_status(result)
    sys.exit(0 if result.healthy else 1)


@group.command("down")
@click.option("--only", type=click.Choice(["engine"]), help="Stop vLLM alone; the cache stays warm.")
@home_option
@json_option
def down_command(home: Path, only: PartName | None, as_json: bool) -> None:
    """Stop what 'up' started. Nothing else is touched; stopping twice is fine."""
    with errors_shown():
        report = down(home / "backend", _progress, only=only)
    if as_json:
        click.echo(_json(asdict(report)))
    elif not report.stopped:
        click.echo("nothing was running")
    else:
        click.echo(f"stopped {', '.join(report.stopped)}: {len(report.ended_pids)} processes ended")
        if report.killed_pids:
            click.echo(f"killed, because they did not end when asked: {', '.join(map(str, report.killed_pids))}")
        for segment in report.removed_segments:
            click.echo(f"removed {segment}")


group.add_command(profile_command)
group.add_command(bench_command)
group.add_command(doctor_command)


def _options(state_dir: Path, only: PartName | None, given: dict[str, Any]) -> LaunchOptions:
    """The options given, over those of the last start where the model is not named or a running part must fit."""
    chosen = with_use_case({key: value for key, value in given.items() if value is not None and value != ()})
    last = read_state(state_dir).options
    if last is not None and ("model" not in chosen or only is not None):
        return replace(last, **with_last_tiers(chosen, last.tiers))
    if "model" not in chosen:
        raise LaunchOptionInvalid("--model", "is missing, and nothing was started here before; give a model folder")
    return LaunchOptions(**chosen)


def _status_data(result: BackendStatus) -> dict[str, Any]:
    return {**asdict(result), "healthy": result.healthy}


def _print_status(result: BackendStatus) -> None:
    for part in result.parts:
        click.echo(f"{part.name:<7}{part.condition:<10}{_what(part)}")
    if result.supervisor == "ended":
        click.echo("supervisor ended by itself: a part that dies is not started again; 'kvasir backend up' mends it")
    if result.api_base and any(part.condition != "absent" for part in result.parts):
        click.echo(f"model  {result.served_name} at {result.api_base}")


def _print_trtllm(plan: TrtllmPlan, as_json: bool) -> None:
    click.echo(_json(asdict(plan)) if as_json else plan.text())


def _what(part: PartStatus) -> str:
    if part.condition == "absent":
        return part.detail
    known = [f"pid {part.pid}" if part.pid else "", part.health_url or "", f"{part.resident_bytes / 1e9:.1f} GB"]
    if part.orphan_pids:
        known.append(f"left behind: {', '.join(map(str, part.orphan_pids))}")
    return "  ".join(text for text in (*known, part.detail, f"log {part.log}") if text)


def _plan_text(plan: LaunchPlan) -> str:
    parts = "\n\n".join(f"# {part.name}\n{part.command()}" for part in plan.parts)
    return f"{parts}\n\n# kvasir.toml\n{plan.config_lines()}".rstrip("\n")


def _plan_json(plan: LaunchPlan) -> str:
    return _json({**asdict(plan), "config": plan.config_lines()})


def _json(data: dict[str, Any]) -> str:
    return json.dumps(data, indent=2, default=str)


def _progress(message: str) -> None:
    click.echo(message, err=True)
