"""What the commands of `kvasir eval` share: options, how a run is shown, what errors and interrupts exit with."""

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
from sqlalchemy import Engine as Database
from sqlalchemy.exc import ArgumentError, DatabaseError

from backend.errors import BackendError, EngineError, EngineMisconfigured
from evals.baselines import Baseline
from evals.gate import ExitCode
from evals.html import html
from evals.junit import replay_xml, run_xml, write_junit
from evals.kept_runs import KeptRun
from evals.markdown import markdown
from evals.report import print_replay, print_run
from evals.run import RunReport
from gateway.errors import AssistantNotFound, DatasourceUnavailable, EngineNotConfigured, GatewayError
from gateway.loading import tell_loading
from gateway.settings import Settings, hint_without_file, load_settings
from kb.database import checked_database
from kb.errors import KnowledgeError, SchemaBehind

if TYPE_CHECKING:
    from gateway.core import Core

R = TypeVar("R")
STDOUT = Path("-")
INTERRUPTED = 130


@dataclass(frozen=True)
class Options:
    """What every command is given: whose state, and whether it answers in JSON."""

    home: Path | None
    config: Path | None
    tenant: str
    as_json: bool

    @property
    def settings(self) -> Settings:
        return load_settings(self.config, home=self.home)

    @contextmanager
    def core(self, *, quiet: bool = False) -> Iterator[Core]:
        settings = self.settings
        if not quiet:
            tell_loading(settings.embedding_model)
        # Imported here: --help does not wait for libraries.
        from gateway.core import open_core

        core = open_core(settings)
        try:
            yield core
        finally:
            core.close()

    @contextmanager
    def database(self) -> Iterator[Database]:
        """The state database at this Kvasir's schema version."""
        settings = self.settings
        with checked_database(settings.state_url, settings.upgrade_command) as database:
            yield database

    def show(self, data: Any, text: Callable[[], None]) -> None:
        """`data` as JSON where --json was given, else whatever `text` prints."""
        if self.as_json:
            click.echo(json.dumps(data, indent=2, ensure_ascii=False))
        else:
            text()


@dataclass(frozen=True)
class Outputs:
    """The files that a run's report is written to besides stdout."""

    junit: Path | None
    markdown: Path | None
    html: Path | None

    def show(self, options: Options, run: KeptRun, baseline: Baseline | None) -> None:
        """Write the files, then print the report: as JSON, as Markdown where its file is '-', else for people."""
        report = run.report
        if self.junit is not None:
            xml = run_xml(report) if isinstance(report, RunReport) else replay_xml(report, run.entry.suite)
            write_junit(xml, self.junit)
        if self.html is not None:
            self.html.write_text(html(run, baseline), encoding="utf-8")
        if self.markdown == STDOUT:
            click.echo(markdown(run, baseline), nl=False)
            return
        if self.markdown is not None:
            self.markdown.write_text(markdown(run, baseline), encoding="utf-8")
        options.show(run.to_dict(), lambda: _print(run))


def common(command: Callable[..., R]) -> Callable[..., R]:
    """The options of all commands, given to the command as its first argument."""

    @click.option("--home", type=click.Path(path_type=Path), envvar="KVASIR_HOME", help="Kvasir's state [.kvasir].")
    @click.option("--config", type=click.Path(path_type=Path), envvar="KVASIR_CONFIG", help="[kvasir.toml]")
    @click.option("--tenant", default="default", envvar="KVASIR_TENANT", show_default=True, help="Whose assistant.")
    @click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
    @functools.wraps(command)
    def with_options(home: Path | None, config: Path | None, tenant: str, as_json: bool, **arguments: Any) -> R:
        with known_errors(config):
            return command(Options(home, config, tenant, as_json), **arguments)

    return with_options


def reporting(command: Callable[..., R]) -> Callable[..., R]:
    """--junit, --markdown and --html, given to the command as `outputs`. To stand below `common`."""
    file = click.Path(path_type=Path, dir_okay=False)

    @click.option("--junit", type=file, help="Write JUnit XML to this file.")
    @click.option("--markdown", type=file, help="Write Markdown for a pull request to this file; - prints it.")
    @click.option("--html", type=file, help="Write one self-contained page to this file.")
    @functools.wraps(command)
    def with_outputs(
        options: Options, junit: Path | None, markdown: Path | None, html: Path | None, **arguments: Any
    ) -> R:
        if options.as_json and markdown == STDOUT:
            raise click.UsageError("--json and --markdown - both print the report; give --markdown a file")
        if markdown != STDOUT:
            _require_writable(markdown, "--markdown")
        _require_writable(junit, "--junit")
        _require_writable(html, "--html")
        return command(options, outputs=Outputs(junit, markdown, html), **arguments)

    return with_outputs


def _require_writable(file: Path | None, option: str) -> None:
    """Checked first: a report that cannot be written is no surprise to keep for the end of a long run."""
    if file is None:
        return
    if file == STDOUT:
        raise click.BadParameter("only --markdown prints to stdout; give the name of a file", param_hint=option)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise click.BadParameter(f"'{file}' cannot be written ({exc.strerror})", param_hint=option) from exc
    if not os.access(file if file.exists() else file.parent, os.W_OK):
        raise click.BadParameter(f"'{file}' cannot be written", param_hint=option)


def _print(run: KeptRun) -> None:
    if isinstance(run.report, RunReport):
        print_run(run.report, Console())
    else:
        print_replay(run.report, Console(), title=run.entry.suite)


@contextmanager
def interruptible(then: str) -> Iterator[None]:
    """Ctrl-C ends the command with what any shell gives it, and says what running it again does."""
    try:
        yield
    except KeyboardInterrupt:
        click.echo(f"interrupted; {then}", err=True)
        sys.exit(INTERRUPTED)


@contextmanager
def known_errors(config: Path | None) -> Iterator[None]:
    try:
        yield
    except (GatewayError, KnowledgeError, BackendError) as exc:
        click.echo(f"error: {exc}", err=True)
        if isinstance(exc, (SchemaBehind, AssistantNotFound)) and (hint := hint_without_file(config)) is not None:
            click.echo(hint, err=True)
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
