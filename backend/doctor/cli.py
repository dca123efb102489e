"""`kvasir backend doctor`."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path

import click

from backend.cli_failure import errors_shown
from backend.cli_options import home_option, json_option


@click.command("doctor")
@click.option(
    "--watch",
    "seconds",
    type=click.FloatRange(min=0),
    default=10.0,
    show_default=True,
    metavar="SECONDS",
    help="How long to watch the counters. 0 judges all since the start of each part.",
)
@click.option(
    "--gateway",
    "gateways",
    multiple=True,
    metavar="URL",
    help="Read this gateway's metrics and last requests as well; may be repeated. Its key is taken from "
    "KVASIR_API_KEY, which needs the role curate.",
)
@home_option
@json_option
def doctor_command(seconds: float, gateways: tuple[str, ...], home: Path, as_json: bool) -> None:
    """Say what is wrong with the running pair, and which command mends it.

    Changes nothing. Exit code 0 without a finding, 1 with one.
    """
    # The parser of metrics is imported only when it is used.
    from backend.doctor.diagnosis import diagnose
    from backend.doctor.reader import Reader
    from backend.doctor.text import diagnosis_text
    from backend.doctor.watch import watch

    with errors_shown():
        named = None if home == Path(".kvasir") else home
        reader = Reader(home / "backend", gateways, home=named, api_key=os.environ.get("KVASIR_API_KEY"))
        try:
            found = diagnose(watch(reader, seconds, _progress))
        finally:
            reader.close()
    click.echo(json.dumps(asdict(found), indent=2) if as_json else diagnosis_text(found))
    sys.exit(1 if found.findings else 0)


def _progress(message: str) -> None:
    click.echo(message, err=True)
