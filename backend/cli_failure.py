"""How a command of the backend ends early: an error as `error: …` on stderr with exit code 1, a SIGTERM in order."""

from __future__ import annotations

import signal
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


@contextmanager
def termination_as_exit() -> Iterator[None]:
    """A SIGTERM during the block cleans up as a Ctrl-C does."""

    def leave(number: int, _: object) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
