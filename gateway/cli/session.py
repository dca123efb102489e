"""What every command shares: settings, the tenant, and one way to print a result or an error."""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import click
from sqlalchemy import Engine
from sqlalchemy.exc import ArgumentError, DBAPIError

from backend.errors import BackendError
from gateway.conversation import require_storable
from gateway.errors import AssistantNotFound, EngineNotConfigured, GatewayError
from gateway.loading import tell_loading
from gateway.settings import Settings, hint_without_file, load_settings
from gateway.user_name import user_name as user_name
from kb.database import checked_database
from kb.errors import KnowledgeError, SchemaBehind
from kb.knowledge_base import KnowledgeBase
from kb.sql_store import SqlStore

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True)
class Session:
    """One command's settings and output."""

    settings: Settings
    tenant: str
    as_json: bool

    def show(self, data: Any, text: Callable[[], None]) -> None:
        """`data` as JSON where --json was given, else whatever `text` prints."""
        if self.as_json:
            click.echo(json.dumps(data, indent=2, ensure_ascii=False, default=str))
        else:
            text()

    def progress(self, message: str) -> None:
        click.echo(message, err=True)

    def tell_loading(self) -> None:
        """To be called before `gateway.core` or a retriever is imported."""
        tell_loading(self.settings.embedding_model)

    @contextmanager
    def database(self) -> Iterator[Engine]:
        """The state database at this Kvasir's schema version."""
        with checked_database(self.settings.state_url, self.settings.upgrade_command) as database:
            yield database

    @contextmanager
    def base(self, name: str) -> Iterator[KnowledgeBase]:
        with self.database() as database:
            yield KnowledgeBase(SqlStore(database), self.tenant, name)


def command_options(command: Callable[..., R]) -> Callable[..., R]:
    """--home, --config, --tenant and --json, given to the command as its first argument: a `Session`."""

    @click.option("--home", type=click.Path(path_type=Path), envvar="KVASIR_HOME", help="Kvasir's state [.kvasir].")
    @click.option("--config", type=click.Path(path_type=Path), envvar="KVASIR_CONFIG", help="[kvasir.toml]")
    @click.option("--tenant", default="default", envvar="KVASIR_TENANT", show_default=True, help="Whose knowledge.")
    @click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
    @functools.wraps(command)
    def with_session(home: Path | None, config: Path | None, tenant: str, as_json: bool, **arguments: Any) -> R:
        with user_errors(config):
            for name, value in {"tenant": tenant, **arguments}.items():
                if isinstance(value, str):
                    require_storable(value, name)
            return command(Session(load_settings(config, home=home), tenant, as_json), **arguments)

    return with_session


@contextmanager
def user_errors(config: Path | None) -> Iterator[None]:
    """Known errors end the command with a message on stderr: exit code 2 for what the user gave, else 1."""
    try:
        yield
    except (KnowledgeError, GatewayError, BackendError) as exc:
        click.echo(f"error: {exc}", err=True)
        if isinstance(exc, (SchemaBehind, AssistantNotFound)) and (hint := hint_without_file(config)) is not None:
            click.echo(hint, err=True)
        sys.exit(1 if isinstance(exc, (BackendError, EngineNotConfigured)) else 2)
    except (DBAPIError, ArgumentError) as exc:
        click.echo(f"error: the state database cannot be used: {_first_line(exc)}", err=True)
        click.echo("check KVASIR_DATABASE_URL, or run: kvasir init", err=True)
        sys.exit(2)


def _first_line(exc: Exception) -> str:
    original = getattr(exc, "orig", None) or exc
    return next(iter(str(original).splitlines()), type(original).__name__)


def base_option(command: Callable[P, R]) -> Callable[P, R]:
    return click.option("--kb", "base_name", default="main", show_default=True, help="The knowledge base.")(command)
