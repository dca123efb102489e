"""`kvasir serve`: the HTTP service."""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys

import click
import uvicorn
from fastapi import FastAPI

from gateway.cli.session import Session, command_options
from gateway.errors import ConfigError
from gateway.long_lived import FirstIndexes, freeze
from gateway.loopback import is_loopback
from gateway.settings import Settings

BACKLOG = 2048
STOP_SECONDS = 20
"""What answers under way are given when the server is asked to stop; container runtimes kill after 30."""


@click.command()
@command_options
@click.option("--host", help="Address to bind to [127.0.0.1]; any but a loopback one needs an API key to exist.")
@click.option("--port", type=click.IntRange(0, 65535), help="[8000]; 0 takes a free one.")
def serve(session: Session, host: str | None, port: int | None) -> None:
    """Start the gateway."""
    given = {key: value for key, value in (("host", host), ("port", port)) if value is not None}
    settings = session.settings.model_copy(update=given)
    _log()
    app = build_app(settings)
    with listen(settings) as listener:
        # After the address is had: loading the model takes seconds, and a taken port is told at once.
        app.state.gateway.core.retriever.warm_up()
        for number in (signal.SIGTERM, signal.SIGINT):
            # After uvicorn has closed everything it raises the signal again, and that is no failure.
            signal.signal(number, lambda _number, _frame: sys.exit(0))
        freeze()
        announce(app, settings, listener.getsockname()[1])
        config = uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=STOP_SECONDS)
        server = uvicorn.Server(config)
        server.run(sockets=[listener])
    sys.exit(0 if server.started else 1)


def build_app(settings: Settings) -> FastAPI:
    """The application with the replay of `evals`. Raises `ConfigError` for an open address without keys."""
    from evals.replay import SuiteReplay
    from gateway.app import create_app

    app = create_app(settings, replay=SuiteReplay(), index_made=FirstIndexes().made)
    core = app.state.gateway.core
    if not is_loopback(settings.host) and not core.api_keys.any_exist():
        raise ConfigError(
            "host",
            settings.host,
            "without API keys only a loopback address is served; make a key first: "
            "kvasir key create --name me --role admin",
        )
    return app


def listen(settings: Settings) -> socket.socket:
    """A listening socket. Raises `ConfigError` for an address that is taken or cannot be had."""
    host, port = settings.host.strip("[]"), settings.port
    if not host.strip():
        raise ConfigError("host", settings.host, "an address such as 127.0.0.1 is needed")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as exc:
        code = exc.errno or 0
        reason = os.strerror(code) if code > 0 else exc.strerror
        problem = f"it cannot be listened on ({reason}); stop what holds it, or choose another"
        raise ConfigError("host and port", f"{settings.host}:{port}", f"{problem} with --host and --port") from exc
    # Connections inherit it. asyncio sets it only on sockets that were made with the protocol's number; without it, an
    # answer's body waits 40 ms for the client's acknowledgement of its head.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def announce(app: FastAPI, settings: Settings, port: int) -> None:
    core = app.state.gateway.core
    host = f"[{settings.host.strip('[]')}]" if ":" in settings.host else settings.host
    click.echo(f"Kvasir serves http://{host}:{port} (state in {settings.home})", err=True)
    if not core.api_keys.any_exist():
        click.echo("No API keys exist, so only this machine is served, with every role.", err=True)
    if not settings.assistants:
        click.echo("No assistant is configured: add [assistants.NAME] to kvasir.toml.", err=True)


def _log() -> None:
    level = os.environ.get("KVASIR_LOG_LEVEL", "INFO")
    if level.upper() not in logging.getLevelNamesMapping():
        raise ConfigError("KVASIR_LOG_LEVEL", level, "use DEBUG, INFO, WARNING or ERROR")
    logging.basicConfig(level=level.upper(), format="%(levelname)s %(name)s: %(message)s")
    # Their INFO is about every request and every library they look for.
    for chatty in ("httpx", "alembic", "faiss", "sentence_transformers"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
