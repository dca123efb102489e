"""How an error of the backend leaves a command: `error: …` on stderr, exit code 1."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

import click

from backend.errors import BackendError


class BackendFailed(click.ClickException):
    """A `BackendError` on its way out."""

    def show(self, file: IO[Any] | None = None) -> None:
        click.echo(f"error: {self.format_message()}", err=file is None, file=file)


@contextmanager
def errors_shown() -> Iterator[None]:
    try:
        yield
    except BackendError as exc:
        raise BackendFailed(str(exc)) from exc
