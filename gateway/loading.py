"""That a command is about to load what takes seconds, so that nobody takes it for hung."""

from __future__ import annotations

import sys

import click


def tell_loading(embedding_model: str) -> None:
    """To stderr, on a terminal alone. To be called before the imports that take the time."""
    if on_terminal():
        click.echo(f"loading libraries and the embedding model {embedding_model} …", err=True)


def on_terminal() -> bool:
    return sys.stderr.isatty()
