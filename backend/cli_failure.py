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
    """With their notes; those of a Ctrl-C or a SIGTERM are shown as well."""
    try:
        yield
    except BackendError as exc:
        raise BackendFailed("\n".join((str(exc), *_notes(exc)))) from exc
    except (KeyboardInterrupt, SystemExit) as exc:
        for note in _notes(exc):
            click.echo(f"error: {note}", err=True)
        raise


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


def _notes(exc: BaseException) -> list[str]:
    notes: list[str] = getattr(exc, "__notes__", [])
    return notes
