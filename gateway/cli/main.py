"""The command `kvasir`. Groups are imported when they are used, so that `--help` does not wait for libraries."""

from __future__ import annotations

from importlib import import_module

import click

_COMMANDS = {
    "init": "gateway.cli.init:init",
    "serve": "gateway.cli.serve:serve",
    "ask": "gateway.cli.ask:ask",
    "confirm": "gateway.cli.verdict:confirm",
    "reject": "gateway.cli.verdict:reject",
    "proposal": "gateway.cli.proposal:group",
    "key": "gateway.cli.key:group",
    "kb": "gateway.cli.kb:group",
    "eval": "evals.cli:group",
    "backend": "backend.cli:group",
    "bench": "evals.bench.cli:group",
}


class _Lazy(click.Group):
    def list_commands(self, _ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, _ctx: click.Context, cmd_name: str) -> click.Command | None:
        target = _COMMANDS.get(cmd_name)
        if target is None:
            return None
        module, _, attribute = target.partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="kvasir", prog_name="kvasir")
def main() -> None:
    """Kvasir: a gateway that learns context instead of weights, and reuses the KV cache of what it learned."""
