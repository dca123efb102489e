"""Options that several commands of `kvasir backend` have."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., None])


def home_option(command: Command) -> Command:
    return click.option(
        "--home",
        envvar="KVASIR_HOME",
        default=".kvasir",
        show_default=True,
        type=click.Path(path_type=Path, file_okay=False),
        help="Where Kvasir keeps its files; the backend's are in its folder 'backend'. Also KVASIR_HOME.",
    )(command)


def json_option(command: Command) -> Command:
    return click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")(command)


def parse_lengths(text: str | None) -> tuple[int, ...] | None:
    """Tokens of `--lengths`, such as 512,1024."""
    if text is None:
        return None
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as exc:
        raise click.BadParameter(
            f"got {text!r}; give numbers with commas between them", param_hint="--lengths"
        ) from exc
