"""`kvasir eval`: run a suite, and compare two commits. Exit codes are `evals.gate.ExitCode`, for pipelines."""

from __future__ import annotations

import functools
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from rich.console import Console
from sqlalchemy.exc import ArgumentError, DatabaseError

from backend.errors import BackendError, EngineError, EngineMisconfigured
from evals.cli_import import import_command
from evals.gate import ExitCode, gate, gate_exit_code, run_exit_code
from evals.junit import replay_xml, run_xml, write_junit
from evals.report import case_line, print_replay, print_run
from evals.run import CaseRun, run_suite
from evals.sides import open_sides
from evals.suite import load_suite
from gateway.errors import DatasourceUnavailable, EngineNotConfigured, GatewayError
from gateway.replay import CaseReplay
from kb.errors import KnowledgeError

if TYPE_CHECKING:
    from gateway.core import Core

R = TypeVar("R")


@dataclass(frozen=True)
class _Options:
    home: Path | None
    config: Path | None
    tenant: str
    as_json: bool
    junit: Path | None

    @contextmanager
    def core(self) -> Iterator[Core]:
        # Imported here: --help does not wait for libraries.
        from gateway.core import open_core
        from gateway.settings import load_settings

        core = open_core(load_settings(self.config, home=self.home))
        try:
            yield core
        finally:
            core.close()

    def show(self, report: Any, text: Callable[[Console], None], document: Callable[[], Any]) -> None:
        if self.junit is not None:
            write_junit(document(), self.junit)
        if self.as_json:
            click.echo(json.dumps(report.to_dict(), indent=2, ensure_ascii=False))
        else:
            text(Console())


def _common(command: Callable[..., R]) -> Callable[..., R]:
    """The options of both commands, given to the command as its first argument."""

    @click.option("--home", type=click.Path(path_type=Path), envvar="KVASIR_HOME", help="Kvasir's state [.kvasir].")
    @click.option("--config", type=click.Path(path_type=Path), envvar="KVASIR_CONFIG", help="[kvasir.toml]")
    @click.option("--tenant", default="default", envvar="KVASIR_TENANT", show_default=True, help="Whose assistant.")
    @click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
    @click.option("--junit", type=click.Path(path_type=Path, dir_okay=False), help="Write JUnit XML to this file.")
    @functools.wraps(command)
    def with_options(
        home: Path | None, config: Path | None, tenant: str, as_json: bool, junit: Path | None, **arguments: Any
    ) -> R:
        with _known_errors():
            return command(_Options(home, config, tenant, as_json, _writable(junit)), **arguments)

    return with_options


@click.group("eval")
def group() -> None:
    """Run regression suites, and compare two commits."""


@group.command("run")
@click.argument("suite", type=click.Path(path_type=Path))
@click.option("--at", "revision", help="Commit, branch or tag [the assistant's].")
@_common
def run(options: _Options, suite: Path, revision: str | None) -> None:
    """Ask every case of SUITE. Exits 0 if all passed, 1 if one failed, 3 if none failed but some were undecided."""
    loaded = load_suite(suite)
    with options.core() as core:
        progress = _Progress(len(loaded.cases))
        report = run_suite(core, loaded, tenant=options.tenant, revision=revision, on_case=progress.case_done)
    options.show(report, lambda console: print_run(report, console), lambda: run_xml(report))
    sys.exit(run_exit_code(report))


@group.command("gate")
@click.argument("suite", type=click.Path(path_type=Path))
@click.option("--base", required=True, help="Before the change: commit, branch, tag, knowledge folder, Git revision.")
@click.option("--head", required=True, help="With the change: the same.")
@click.option(
    "--knowledge",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="The folder whose Git revisions are meant [the one that is given, else the suite's].",
)
@_common
def gate_command(options: _Options, suite: Path, base: str, head: str, knowledge: Path | None) -> None:
    """Compare SUITE at two commits or folders. Exits 0 if clean, 1 on a regression, 3 if it cannot be judged."""
    loaded = load_suite(suite)
    with options.core() as core:
        sides = open_sides(
            core,
            loaded.assistant,
            tenant=options.tenant,
            base=base,
            head=head,
            knowledge=knowledge,
            suite_folder=suite.parent,
        )
        for line in sides.told:
            click.echo(line, err=True)
        progress = _Progress(len(loaded.cases))
        report = gate(
            sides.core, loaded, tenant=options.tenant, base=sides.base, head=sides.head, on_case=progress.case_done
        )
    options.show(
        report,
        lambda console: print_replay(report, console, title=loaded.name),
        lambda: replay_xml(report, loaded.name),
    )
    sys.exit(gate_exit_code(report))


group.add_command(import_command)


class _Progress:
    """One line per case on stderr: it reads as well in a terminal as in a pipeline's log."""

    def __init__(self, total: int) -> None:
        self._total, self._done = total, 0

    def case_done(self, case: CaseRun | CaseReplay) -> None:
        self._done += 1
        click.echo(f"[{self._done}/{self._total}] {case_line(case)}", err=True)


def _writable(junit: Path | None) -> Path | None:
    """Checked first: a report that cannot be written is no surprise to keep for the end of a long run."""
    if junit is not None:
        try:
            junit.parent.mkdir(parents=True, exist_ok=True)
        except OSError as exc:
            raise click.BadParameter(f"'{junit}' cannot be written ({exc.strerror})", param_hint="--junit") from exc
        if not os.access(junit if junit.exists() else junit.parent, os.W_OK):
            raise click.BadParameter(f"'{junit}' cannot be written", param_hint="--junit")
    return junit


@contextmanager
def _known_errors() -> Iterator[None]:
    try:
        yield
    except (GatewayError, KnowledgeError, BackendError) as exc:
        click.echo(f"error: {exc}", err=True)
        sys.exit(ExitCode.UNDECIDED if _is_away(exc) else ExitCode.USAGE)
    except (DatabaseError, ArgumentError) as exc:
        reason = str(getattr(exc, "orig", None) or exc).splitlines()[0]
        click.echo(f"error: the state database cannot be used: {reason}; check KVASIR_DATABASE_URL", err=True)
        sys.exit(ExitCode.USAGE)


def _is_away(exc: Exception) -> bool:
    """Whether the question was fine and what would answer it is not there."""
    if isinstance(exc, EngineMisconfigured):
        return False
    return isinstance(exc, (EngineError, EngineNotConfigured, DatasourceUnavailable))
