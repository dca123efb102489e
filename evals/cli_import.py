"""`kvasir eval import`: a suite out of what another tool's tests say."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from evals.gate import ExitCode
from evals.importing import FORMAT_NAMES
from evals.suite import Suite
from evals.suite_file import write_suite
from gateway.errors import GatewayError
from kb.errors import KnowledgeError

if TYPE_CHECKING:
    from evals.importing.found import Imported

TOLD = 20
"""Lines of what was left out that are printed; `--json` has all."""


@click.command("import")
@click.argument("file", type=click.Path(path_type=Path, exists=True))
@click.option("--from", "format_", type=click.Choice(FORMAT_NAMES), help="The format [what FILE plainly is].")
@click.option("--assistant", help="Whose suite it becomes [the only one of kvasir.toml].")
@click.option("--suite", "name", help="The suite's name [FILE's].")
@click.option("--db", "database", help="The database whose questions are taken (spider, bird).")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="The suite file to make [stdout].")
@click.option("--config", type=click.Path(path_type=Path), envvar="KVASIR_CONFIG", help="[kvasir.toml]")
@click.option("--tenant", default="default", envvar="KVASIR_TENANT", show_default=True, help="Whose assistant.")
@click.option("--json", "as_json", is_flag=True, help="Print counts and all that was left out as JSON.")
def import_command(
    file: Path,
    format_: str | None,
    assistant: str | None,
    name: str | None,
    database: str | None,
    out: Path | None,
    config: Path | None,
    tenant: str,
    as_json: bool,
) -> None:
    """Write a suite of the tests in FILE. What a suite cannot say is left out, and told on stderr."""
    if out is not None and out.exists():
        raise click.BadParameter(f"'{out}' is there already; name a new file", param_hint="--out")
    try:
        format_ = format_ or _detected(file)
        imported = _read(file, format_, database)
        suite = Suite(name or file.resolve().stem, assistant or _only_assistant(config, tenant), 1, imported.cases)
    except (GatewayError, KnowledgeError) as exc:
        click.echo(f"error: {exc}", err=True)
        sys.exit(ExitCode.USAGE)
    text = write_suite(suite, remarks=[f"Imported from {file.name} ({format_}).", *_told(imported)])
    if out is not None:
        _write(out, text)
    if as_json:
        click.echo(json.dumps(_report(suite, format_, imported, out, text), indent=2, ensure_ascii=False))
        return
    for line in _told(imported):
        click.echo(line, err=True)
    click.echo(f"{len(imported.cases)} cases written to {out}" if out else text, nl=out is not None)


def _detected(file: Path) -> str:
    from evals.importing.formats import detect

    found = detect(file)
    if found is None:
        listed = ", ".join(FORMAT_NAMES)
        raise click.UsageError(f"'{file}' is not plainly of one format; say it with --from (one of {listed})")
    return found


def _read(file: Path, format_: str, database: str | None) -> Imported:
    from evals.importing.formats import BENCHMARKS, import_cases

    if database is not None and format_ not in BENCHMARKS:
        raise click.UsageError(f"--db goes with --from {' or '.join(BENCHMARKS)}; leave it out for {format_}")
    return import_cases(format_, file, database)


def _only_assistant(config: Path | None, tenant: str) -> str:
    from gateway.settings import load_settings

    names = [name for name, entry in load_settings(config).assistants.items() if entry.tenant == tenant]
    if len(names) != 1:
        known = f"kvasir.toml has {', '.join(sorted(names))}" if names else "no kvasir.toml has one"
        raise click.UsageError(f"whose suite is it? {known}; name one with --assistant")
    return names[0]


def _told(imported: Imported) -> list[str]:
    lines = [f"left out: {left}" for left in imported.left_out[:TOLD]]
    more = len(imported.left_out) - TOLD
    return [*lines, f"… and {more} more; --json lists all"] if more > 0 else lines


def _report(suite: Suite, format_: str, imported: Imported, out: Path | None, text: str) -> dict[str, object]:
    return {
        "suite": suite.name,
        "assistant": suite.assistant,
        "format": format_,
        "cases": len(suite.cases),
        "left_out": [left.to_dict() for left in imported.left_out],
        "out": str(out) if out else None,
        "yaml": None if out else text,
    }


def _write(out: Path, text: str) -> None:
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text, encoding="utf-8")
    except OSError as exc:
        raise click.BadParameter(f"'{out}' cannot be written ({exc.strerror})", param_hint="--out") from exc
