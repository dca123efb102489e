"""`kvasir serve`: the HTTP service."""

from __future__ import annotations

import logging
import os

import click
import uvicorn
from fastapi import FastAPI

from gateway.cli.session import Session, command_options
from gateway.errors import ConfigError
from gateway.loopback import is_loopback
from gateway.settings import Settings


@click.command()
@command_options
@click.option("--host", help="Address to bind to [127.0.0.1]; any but a loopback one needs an API key to exist.")
@click.option("--port", type=click.IntRange(0, 65535), help="[8000]; 0 takes a free one.")
def serve(session: Session, host: str | None, port: int | None) -> None:
    """Start the gateway."""
    given = {key: value for key, value in (("host", host), ("port", port)) if value is not None}
    settings = session.settings.model_copy(update=given)
    logging.basicConfig(
        level=os.environ.get("KVASIR_LOG_LEVEL", "INFO").upper(), format="%(levelname)s %(name)s: %(message)s"
    )
    logging.getLogger("httpx").setLevel(logging.WARNING)
    app = build_app(settings)
    announce(app, settings)
    uvicorn.run(app, host=settings.host, port=settings.port, log_level="warning", access_log=False)


def build_app(settings: Settings) -> FastAPI:
    """The application with the replay of `evals`. Raises `ConfigError` for an open address without keys."""
    from evals.replay import SuiteReplay
    from gateway.app import create_app

    app = create_app(settings, replay=SuiteReplay())
    if not is_loopback(settings.host) and not app.state.gateway.core.api_keys.any_exist():
        raise ConfigError(
            "host",
            settings.host,
            "without API keys only a loopback address is served; make a key first: "
            "kvasir key create --name me --role admin",
        )
    return app


def announce(app: FastAPI, settings: Settings) -> None:
    core = app.state.gateway.core
    click.echo(f"Kvasir serves http://{settings.host}:{settings.port} (state in {settings.home})", err=True)
    if not core.api_keys.any_exist():
        click.echo("No API keys exist, so only this machine is served, with every role.", err=True)
    if not settings.assistants:
        click.echo("No assistant is configured: add [assistants.NAME] to kvasir.toml.", err=True)
